// Package fsm joins the replicated state to the Raft library: it applies the entries of the log to
// a state.State and publishes each resulting state.
//
// It promises that a reader sees only whole states, each later than the one before, without a lock;
// that a waiting reader misses no change of the state; and that an entry which cannot be decoded
// stops the process. A program that is too old for an entry or a snapshot stops applying instead
// (TooOld); its state then stays as it was.
//
// Package consensus hands an FSM to the library, and only the library calls the methods of
// raft.BatchingFSM; any goroutine may call the others.
package fsm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"praefect/fsm/state"
)

// FSM is the replicated state of one instance. It implements raft.BatchingFSM.
type FSM struct {
	current atomic.Pointer[view]

	mu sync.Mutex
	// applied is the state that the library has applied; guarded by mu. View is later than
	// it after Prime, until the library has caught up.
	applied *state.State
	// primed is the index of Prime, below which View never falls; guarded by mu.
	primed state.Index

	failed sync.Once
	tooOld chan struct{} // closed once err is set
	err    error
}

// view is a state together with the channel that is closed when a later one
// replaces it.
type view struct {
	state    *state.State
	replaced chan struct{}
}

// New returns an FSM before the first entry of the log.
func New() *FSM {
	f := &FSM{applied: &state.State{}, tooOld: make(chan struct{})}
	f.current.Store(&view{state: &state.State{}, replaced: make(chan struct{})})
	return f
}

// View returns the latest state.
func (f *FSM) View() *state.State { return f.current.Load().state }

// Changed returns a channel that is closed once the state is later than at the time of the call.
// Call Changed first and View then, so that no change is missed.
func (f *FSM) Changed() <-chan struct{} { return f.current.Load().replaced }

// Wait returns once the view has applied the command of that index, or with an
// error when ctx ends. The index must be one of a command (state.Result.Index):
// other entries of the log do not move the view.
func (f *FSM) Wait(ctx context.Context, index state.Index) error {
	for {
		v := f.current.Load()
		if v.state.Index >= index {
			return nil
		}
		select {
		case <-v.replaced:
		case <-ctx.Done():
			return fmt.Errorf("wait for index %d at %d: %w", index, v.state.Index, context.Cause(ctx))
		}
	}
}

// TooOld returns a channel that is closed when this program turned out to be too old for the log or
// a snapshot. Nothing is applied any more, and the instance has to leave the cluster. Err names the
// entry.
func (f *FSM) TooOld() <-chan struct{} { return f.tooOld }

// Err returns why TooOld is closed, nil while it is not.
func (f *FSM) Err() error {
	select {
	case <-f.tooOld:
		return f.err
	default:
		return nil
	}
}

func (f *FSM) fail(err error) {
	f.failed.Do(func() {
		f.err = err
		close(f.tooOld)
	})
}

// Prime publishes a state that the log holds, of entries which are committed, before the
// library applies them: it applies none without a leader. View never goes back from it.
func (f *FSM) Prime(s *state.State) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s.Index <= f.applied.Index {
		return
	}
	f.primed = s.Index
	f.publish(s)
}

// publish has View return s, unless a later one was primed. Caller holds mu.
func (f *FSM) publish(s *state.State) {
	if s.Index < f.primed {
		return
	}
	old := f.current.Swap(&view{state: s, replaced: make(chan struct{})})
	close(old.replaced)
}

// Apply implements raft.FSM.
func (f *FSM) Apply(entry *raft.Log) any {
	return f.ApplyBatch([]*raft.Log{entry})[0]
}

// ApplyBatch implements raft.BatchingFSM: it answers each command with its
// []state.Result, and publishes once, before it returns. After TooOld it answers
// each with Err.
func (f *FSM) ApplyBatch(entries []*raft.Log) []any {
	f.mu.Lock()
	defer f.mu.Unlock()
	before := f.applied
	s, answers := before, make([]any, len(entries))
	for i, entry := range entries {
		if entry.Type != raft.LogCommand {
			continue // a change of the cluster's members is the library's own
		}
		if err := f.Err(); err != nil {
			answers[i] = err
			continue
		}
		b, err := state.DecodeBatch(entry.Data)
		var level *state.LevelError
		if errors.As(err, &level) {
			f.fail(fmt.Errorf("entry %d of the Raft log: %w", entry.Index, err))
			answers[i] = f.err
			continue
		}
		if err != nil {
			panic(fmt.Sprintf("fsm: entry %d of term %d of the Raft log cannot be applied, and skipping it would let "+
				"instances differ; it needs another version of this program: %v", entry.Index, entry.Term, err))
		}
		b.EntryTerm = entry.Term
		next, results := s.Apply(state.Index(entry.Index), b)
		s, answers[i] = next, results
		if err := s.Known(); err != nil { // from the next entry on anything may come
			f.fail(fmt.Errorf("entry %d of the Raft log: %w", entry.Index, err))
		}
	}
	if s != before {
		f.applied = s
		f.publish(s)
	}
	return answers
}

// Snapshot implements raft.FSM. The state is immutable, so that taking one
// costs nothing; writing it does not hold up Apply.
func (f *FSM) Snapshot() (raft.FSMSnapshot, error) {
	if err := f.Err(); err != nil {
		return nil, err // it would claim an index that was not applied
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return snapshot{f.applied}, nil
}

// Restore implements raft.FSM. On an error the view stays as it was.
func (f *FSM) Restore(r io.ReadCloser) error {
	s, err := state.ReadSnapshot(r)
	if level := (*state.LevelError)(nil); errors.As(err, &level) {
		f.fail(err)
	}
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.applied = s
	f.publish(s)
	return nil
}

// snapshot implements raft.FSMSnapshot.
type snapshot struct{ state *state.State }

// Persist implements raft.FSMSnapshot.
func (s snapshot) Persist(sink raft.SnapshotSink) error {
	if err := s.state.WriteSnapshot(sink); err != nil {
		if cancelErr := sink.Cancel(); cancelErr != nil {
			return fmt.Errorf("%w; and cancel the snapshot: %w", err, cancelErr)
		}
		return err
	}
	if err := sink.Close(); err != nil {
		return fmt.Errorf("close snapshot of index %d: %w", s.state.Index, err)
	}
	return nil
}

// Release implements raft.FSMSnapshot; the garbage collector does the work.
func (s snapshot) Release() {}
