package consensus

import (
	"errors"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"praefect/fsm/state"
	"praefect/test/must"
)

// doubtful is a library that loses leadership around every entry: it answers
// the first times with errors, and applies the entry nevertheless or not.
type doubtful struct {
	applier
	script  []doubt
	asked   atomic.Int32
	entries []string // the entries that were handed over
}

// doubt is one answer to one Apply.
type doubt struct {
	apply bool
	err   error
	then  func()
}

func (d *doubtful) Apply(entry []byte, timeout time.Duration) raft.ApplyFuture {
	d.entries = append(d.entries, string(entry))
	n := int(d.asked.Add(1)) - 1
	if n >= len(d.script) {
		return d.applier.Apply(entry, timeout)
	}
	if d.script[n].apply {
		if err := d.applier.Apply(entry, timeout).Error(); err != nil {
			panic(err)
		}
	}
	if then := d.script[n].then; then != nil {
		then()
	}
	return failed{err: d.script[n].err}
}

// byLibrary is the way of a node by another library than its own.
type byLibrary struct {
	appender
	here applier
}

func (b byLibrary) local() applier { return b.here }

// failed is a future that ended with an error.
type failed struct {
	raft.ApplyFuture
	err error
}

func (f failed) Error() error { return f.err }

func TestNode_Propose_resolvesWhatIsUnknown(t *testing.T) {
	lost, refused := raft.ErrLeadershipLost, raft.ErrNotLeader
	for name, script := range map[string][]doubt{
		"answered at once":              nil,
		"not taken":                     {{err: refused}, {err: raft.ErrEnqueueTimeout}},
		"lost":                          {{err: lost}},
		"applied, but not answered":     {{apply: true, err: lost}},
		"applied, and then not taken":   {{apply: true, err: lost}, {err: refused}},
		"applied twice, never answered": {{apply: true, err: lost}, {apply: true, err: lost}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := begin(t, t.TempDir()).ready(t)
			i.must(t, define())
			d := &doubtful{applier: i.library.Raft(), script: script}
			i.proposer.appender = byLibrary{i.Node, d} // the proposer rests, and looks at it next in Propose
			results, err := i.Propose(t.Context(), openIntent("a"), closeIntent("a"), closeIntent("a"))
			must.Succeed(t, err)
			var got []state.Reason
			for _, r := range results {
				if r.Refusal != nil {
					got = append(got, r.Refusal.Reason)
				} else {
					got = append(got, "")
				}
			}
			if want := []state.Reason{"", "", state.RefusedNoIntent}; !reflect.DeepEqual(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
			for _, e := range d.entries {
				if e != d.entries[0] {
					t.Errorf("repeated\n%q\nas\n%q", d.entries[0], e)
				}
			}
			if len(d.entries) != len(script)+1 {
				t.Errorf("handed over %d times, want %d", len(d.entries), len(script)+1)
			}
			i.must(t, openIntent("b")) // the numbers go on
		})
	}
}

func TestNode_Propose_answersForgotten(t *testing.T) {
	i := begin(t, t.TempDir()).ready(t)
	i.must(t, define())
	others := func() { // as other instances may, in the meantime
		var wg sync.WaitGroup
		for n := range state.AnswersKept {
			data, err := state.EncodeBatch(state.Batch{
				Version: state.CommandVersion, RequestID: fmt.Sprint(n), Commands: []state.Command{define()},
			})
			if err != nil {
				t.Error(err)
				return
			}
			wg.Go(func() {
				if err := i.library.Raft().Apply(data, patience).Error(); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	i.proposer.appender = byLibrary{i.Node, &doubtful{applier: i.library.Raft(), script: []doubt{{apply: true, err: raft.ErrLeadershipLost, then: others}}}}
	if _, err := i.Propose(t.Context(), openIntent("a")); !errors.Is(err, ErrUnknown) {
		t.Errorf("got %v, want %v", err, ErrUnknown)
	}
}

func TestNode_stopWhileUnknown(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want error
	}{
		"never taken": {raft.ErrNotLeader, ErrNotProposed},
		"lost":        {raft.ErrLeadershipLost, ErrUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := begin(t, t.TempDir()).ready(t)
			d := &doubtful{applier: i.library.Raft(), script: make([]doubt, 100_000)}
			for n := range d.script {
				d.script[n].err = c.err
			}
			i.proposer.appender = byLibrary{i.Node, d}
			answered := proposing(t.Context(), i, define())
			eventually(t, "it was tried", func() bool { return d.asked.Load() > 1 })
			i.cancel()
			if err := <-answered; !errors.Is(err, c.want) || !errors.Is(err, c.err) {
				t.Errorf("got %v, want %v because of %v", err, c.want, c.err)
			}
			if err := i.end(t); err != nil {
				t.Errorf("ended with %v", err)
			}
		})
	}
}

func TestQueue_take(t *testing.T) {
	q := newQueue(10)
	q.open()
	var all []*request
	for _, n := range []int{2, 1, 3, 2} {
		r := &request{commands: make([]state.Command, n), done: make(chan struct{})}
		must.Succeed(t, q.add(r))
		all = append(all, r)
	}
	if !q.remove(all[1]) || q.remove(all[1]) {
		t.Error("a request is removed once")
	}
	for _, want := range [][]*request{{all[0]}, {all[2]}, {all[3]}} {
		if got := q.take(t.Context(), 4); !reflect.DeepEqual(got, want) {
			t.Errorf("took %d requests", len(got))
		}
	}
	if q.len() != 0 || q.remove(all[0]) {
		t.Errorf("%d commands are left", q.len())
	}
}
