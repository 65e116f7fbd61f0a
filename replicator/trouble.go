package replicator

import (
	"errors"
	"sync"
	"time"

	"google.golang.org/grpc/status"

	"praefect/fsm/state"
	"praefect/replicator/plan"
)

// troublesKept bounds the memory of troubles. For one beyond it another is forgotten:
// copies onto that replica are counted from 1 again.
const troublesKept = 4096

// replica is one storage's replica of a repository.
type replica struct {
	state.Key
	storage string
}

// trouble is the record of the copies onto a replica that failed, since the last one that
// succeeded.
type trouble struct {
	// copies is how many in a row failed there.
	copies int
	// broken tells that no copy onto the replica will succeed.
	broken bool
	// remade is when it was made again; zero: it was not.
	remade time.Time
	// why is the last error, for people.
	why string
}

// troubles remembers the replicas onto which copies failed in this process.
type troubles struct {
	mu   sync.Mutex
	list map[replica]trouble // guarded by mu
}

func (t *troubles) get(key state.Key, storage string) trouble {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.list[replica{key, storage}]
}

// note notes how a copy onto a replica ended. One that ended for another reason than
// the replica changes nothing.
func (t *troubles) note(key state.Key, storage string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	which := replica{key, storage}
	if err == nil {
		delete(t.list, which)
		return
	}
	failure := judge(err)
	if failure == plan.FailureElsewhere {
		return
	}
	before, known := t.list[which]
	if !known && len(t.list) >= troublesKept {
		for other := range t.list {
			delete(t.list, other)
			break
		}
	}
	if t.list == nil {
		t.list = make(map[replica]trouble)
	}
	before.copies++
	before.broken = before.broken || failure == plan.FailureBroken
	before.why = err.Error()
	t.list[which] = before
}

// breaks notes that no copy onto a replica makes it sound.
func (t *troubles) breaks(key state.Key, storage, why string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.list == nil {
		t.list = make(map[replica]trouble)
	}
	known, listed := t.list[replica{key, storage}]
	if !listed && len(t.list) >= troublesKept {
		return // an alarm tells of it all the same
	}
	known.broken, known.why = true, why
	t.list[replica{key, storage}] = known
}

// remade notes that a replica was removed, to be copied from nothing.
func (t *troubles) remade(key state.Key, storage string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	which := replica{key, storage}
	if was, known := t.list[which]; known {
		t.list[which] = trouble{remade: time.Now(), why: was.why}
	}
}

// failing counts the replicas of a storage that are behind and onto which so many copies
// have failed in a row, or none will succeed.
func (t *troubles) failing(view *state.State, virtualStorage, storage string, copies int) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for which, what := range t.list {
		if which.VirtualStorage == virtualStorage && which.storage == storage && (what.broken || !what.remade.IsZero() || what.copies >= copies) &&
			view.Entry(which.Key).IsBehind(storage) {
			n++
		}
	}
	return n
}

// judge returns the kind of failure that the error of a copy that has ended means for the target's
// replica.
func judge(err error) plan.Failure {
	if _, source := errors.AsType[*sourceError](err); source {
		return plan.FailureElsewhere
	}
	if _, unlike := errors.AsType[*plan.UnlikeError](err); unlike {
		return plan.FailureOfReplica
	}
	if known, ok := status.FromError(err); ok {
		return plan.Judge(known.Code(), err.Error())
	}
	return plan.FailureElsewhere
}

// sourceError is one that the source of a copy answered.
type sourceError struct{ error }

// Unwrap lets errors.Is see the source's error.
func (e *sourceError) Unwrap() error { return e.error }

// ofSource marks an error as one of the source.
func ofSource(err error) error {
	if err == nil {
		return nil
	}
	return &sourceError{err}
}
