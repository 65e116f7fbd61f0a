package fsm

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/hashicorp/raft"

	"praefect/fsm/state"
	"praefect/test/must"
)

// later is an entry that a later program wrote.
func later(index uint64) *raft.Log {
	return &raft.Log{Index: index, Term: 1, Type: raft.LogCommand, Data: append([]byte{state.Level + 1}, `{"unheard":"of"}`...)}
}

// TestFSM_tooOldForAnEntry: nothing after it is applied, and no snapshot claims
// that it was.
func TestFSM_tooOldForAnEntry(t *testing.T) {
	f := New()
	must.Succeed(t, f.Err())
	answers := f.ApplyBatch([]*raft.Log{register(t, 3, "a"), later(4), register(t, 5, "b")})
	if _, ok := answers[0].([]state.Result); !ok {
		t.Errorf("answer %v before the entry", answers[0])
	}
	for _, answer := range append(answers[1:], f.Apply(register(t, 6, "c"))) {
		err, _ := answer.(error)
		if level := (*state.LevelError)(nil); !errors.As(err, &level) {
			t.Errorf("answer %v", answer)
		}
	}
	if index := f.View().Index; index != 3 {
		t.Errorf("the view is at %d, want 3", index)
	}
	if _, err := f.Snapshot(); err == nil {
		t.Error("took a snapshot")
	}
	select {
	case <-f.TooOld():
	default:
		t.Error("it is not told")
	}
}

func TestFSM_tooOldForASnapshot(t *testing.T) {
	f := New()
	err := f.Restore(io.NopCloser(strings.NewReader(`{"header":{"version":1,"index":9,"level":99,"unheard":"of"}}` + "\n")))
	if level := (*state.LevelError)(nil); !errors.As(err, &level) || f.Err() == nil || f.View().Index != 0 {
		t.Errorf("restored index %d: %v, %v", f.View().Index, err, f.Err())
	}
}
