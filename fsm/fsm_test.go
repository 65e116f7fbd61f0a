package fsm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"go.uber.org/goleak"

	"praefect/fsm/state"
	"praefect/test/must"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func register(t *testing.T, index uint64, id string) *raft.Log {
	t.Helper()
	data, err := state.EncodeBatch(state.Batch{
		Version:   state.CommandVersion,
		RequestID: fmt.Sprint(id, index),
		Commands:  []state.Command{{Register: &state.Register{ID: id, ClusterID: "cluster"}}},
	})
	must.Succeed(t, err)
	return &raft.Log{Index: index, Term: 1, Type: raft.LogCommand, Data: data}
}

func TestFSM_ApplyBatch(t *testing.T) {
	f := New()
	changed := f.Changed()
	answers := f.ApplyBatch([]*raft.Log{
		register(t, 3, "a"),
		{Index: 4, Term: 1, Type: raft.LogConfiguration, Data: []byte("members")},
		register(t, 5, "b"),
	})
	want := []any{[]state.Result{{Index: 3, Incarnation: 3}}, nil, []state.Result{{Index: 5, Incarnation: 5}}}
	if !reflect.DeepEqual(answers, want) {
		t.Errorf("got %v, want %v", answers, want)
	}
	if s := f.View(); s.Index != 5 || len(s.Instances) != 2 {
		t.Errorf("index %d with %d instances", s.Index, len(s.Instances))
	}
	select {
	case <-changed:
	default:
		t.Error("the change was not told")
	}
}

func TestFSM_ApplyBatch_withoutCommandsPublishesNothing(t *testing.T) {
	f := New()
	changed := f.Changed()
	f.ApplyBatch([]*raft.Log{{Index: 1, Term: 1, Type: raft.LogConfiguration}})
	select {
	case <-changed:
		t.Error("a change was told")
	default:
	}
}

func TestFSM_Apply(t *testing.T) {
	f := New()
	got := f.Apply(register(t, 7, "a"))
	if want := []state.Result{{Index: 7, Incarnation: 7}}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestFSM_ApplyBatch_tellsTheTerm: the term comes from the log's entry, whatever
// the proposer says.
func TestFSM_ApplyBatch_tellsTheTerm(t *testing.T) {
	for term, want := range map[uint64]state.Reason{4: "", 3: state.RefusedTerm} {
		data, err := state.EncodeBatch(state.Batch{
			Version:   state.CommandVersion,
			RequestID: "r",
			Term:      term,
			EntryTerm: 3,
			Commands:  []state.Command{{Register: &state.Register{ID: "a", ClusterID: "cluster"}}},
		})
		must.Succeed(t, err)
		var got state.Reason
		for _, r := range New().Apply(&raft.Log{Index: 1, Term: 4, Type: raft.LogCommand, Data: data}).([]state.Result) {
			if r.Refusal != nil {
				got = r.Refusal.Reason
			}
		}
		if got != want {
			t.Errorf("decided in term %d: refused %q, want %q", term, got, want)
		}
	}
}

func TestFSM_Apply_undecodableStopsTheProcess(t *testing.T) {
	for name, data := range map[string]string{
		"nothing":            "",
		"no version":         "\x00{}",
		"an unknown command": "\x01" + `{"id":"r","c":[{"explode":{}}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			f := New()
			defer func() {
				text := fmt.Sprint(recover())
				if !strings.Contains(text, "entry 9 of term 2") {
					t.Errorf("got %q", text)
				}
				if f.View().Index != 0 {
					t.Error("something was published")
				}
			}()
			f.Apply(&raft.Log{Index: 9, Term: 2, Type: raft.LogCommand, Data: []byte(data)})
		})
	}
}

func TestFSM_Wait(t *testing.T) {
	f := New()
	ctx, cancel := context.WithCancelCause(t.Context())
	var wg sync.WaitGroup
	for index := range uint64(50) {
		wg.Go(func() {
			if err := f.Wait(ctx, state.Index(index)); err != nil {
				t.Errorf("index %d: %v", index, err)
			} else if got := uint64(f.View().Index); got < index {
				t.Errorf("index %d: the view is at %d", index, got)
			}
		})
	}
	for index := range uint64(50) {
		f.Apply(register(t, index+1, fmt.Sprint(index)))
	}
	wg.Wait()

	gone := errors.New("gone")
	wg.Go(func() {
		if err := f.Wait(ctx, 51); !errors.Is(err, gone) {
			t.Errorf("got %v, want %v", err, gone)
		}
	})
	cancel(gone)
	wg.Wait()
}

// sink collects a snapshot, or fails.
type sink struct {
	bytes.Buffer
	fail             error
	closed, canceled bool
}

func (s *sink) ID() string    { return "snapshot" }
func (s *sink) Cancel() error { s.canceled = true; return nil }
func (s *sink) Close() error  { s.closed = true; return nil }
func (s *sink) Write(p []byte) (int, error) {
	if s.fail != nil {
		return 0, s.fail
	}
	return s.Buffer.Write(p)
}

func TestFSM_snapshotAndRestore(t *testing.T) {
	f := New()
	f.Apply(register(t, 1, "a"))
	taken, err := f.Snapshot()
	must.Succeed(t, err)
	f.Apply(register(t, 2, "b")) // comes too late for the snapshot
	var s sink
	if err := taken.Persist(&s); err != nil || !s.closed || s.canceled {
		t.Fatalf("%v, closed %t, canceled %t", err, s.closed, s.canceled)
	}
	taken.Release()

	changed := f.Changed()
	must.Succeed(t, f.Restore(io.NopCloser(bytes.NewReader(s.Bytes()))))
	if got := f.View(); got.Index != 1 || len(got.Instances) != 1 {
		t.Errorf("restored index %d with %d instances", got.Index, len(got.Instances))
	}
	select {
	case <-changed:
	case <-time.After(time.Minute):
		t.Error("the change was not told")
	}
	if err := f.Restore(io.NopCloser(bytes.NewReader(s.Bytes()[:10]))); err == nil || f.View().Index != 1 {
		t.Errorf("half a snapshot: %v at index %d", err, f.View().Index)
	}
}

// A state that was primed is shown until the library has applied as much.
func TestFSM_Prime(t *testing.T) {
	log := []*raft.Log{register(t, 1, "a"), register(t, 2, "b"), register(t, 3, "c")}
	ahead := New()
	ahead.ApplyBatch(log[:2])
	f := New()
	changed := f.Changed()
	f.Prime(ahead.View())
	select {
	case <-changed:
	default:
		t.Error("the change was not told")
	}
	for i, want := range []state.Index{2, 2, 3} {
		if answer := f.Apply(log[i]).([]state.Result); answer[0].Index != state.Index(i+1) {
			t.Errorf("entry %d was answered with %+v", i+1, answer)
		}
		if got := f.View(); got.Index != want || len(got.Instances) != int(want) {
			t.Errorf("after entry %d the view is at %d with %d instances, want %d", i+1, got.Index, len(got.Instances), want)
		}
		taken, err := f.Snapshot()
		must.Succeed(t, err)
		if got := taken.(snapshot).state.Index; got != state.Index(i+1) {
			t.Errorf("after entry %d a snapshot is of index %d", i+1, got)
		}
	}
	f.Prime(ahead.View()) // it comes too late
	if got := f.View().Index; got != 3 {
		t.Errorf("the view went back to %d", got)
	}
}

func TestFSM_snapshotThatFailsIsCanceled(t *testing.T) {
	taken, err := New().Snapshot()
	must.Succeed(t, err)
	full := errors.New("disk full")
	s := sink{fail: full}
	if err := taken.Persist(&s); !errors.Is(err, full) || s.closed || !s.canceled {
		t.Errorf("%v, closed %t, canceled %t", err, s.closed, s.canceled)
	}
}
