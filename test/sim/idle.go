package sim

import (
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"praefect/proxy/transaction/quorum"
)

// The phases of votes that change nothing: beside a hook, and before a change is prepared.
const (
	phaseSynchronized = 3
	phasePreparing    = 4
)

var (
	// errNothing ends a write that changed nothing, in a call that ended well: git has told
	// the client why.
	errNothing = errors.New("git has changed nothing")
	errFull    = errors.New("no space left on the disk")
)

// idle tells in which schedules storages cast votes that change nothing, and disks are full. It
// draws from nothing: all other schedules stay as they are.
func idle(seed uint64) bool {
	return seed%32 == 22 && seed != 54 || seed%64 == 46
}

// fillDisks fills the disk of one storage after the other for a while, until the faults are over.
func (w *simulation) fillDisks() {
	if !idle(w.seed) {
		return
	}
	draw := rand.New(rand.NewPCG(w.seed, 31))
	w.ruining = draw
	var next func()
	next = func() {
		if w.quiet {
			return
		}
		s := pickOf(draw, w.storages...)
		s.full = true
		w.cov.Filled++
		w.tracef("%s: its disk is full", s.name)
		w.after(upTo(draw, 4*time.Second), func() {
			s.full = false
			w.tracef("%s: its disk has room", s.name)
			w.after(upTo(draw, time.Second), next)
		})
	}
	w.after(upTo(draw, 2*time.Second), next)
}

// hooked casts the votes that come before a change: storages of every other release vote before
// they prepare it, and all of them beside the hook.
func (s *storage) hooked(t *task, r *running) error {
	if s.index%2 == 1 {
		if _, err := s.cast(t, r, quorum.Vote{Hash: hash(0, r.ops[0]), Phase: phasePreparing}); err != nil {
			return err
		}
	}
	_, err := s.cast(t, r, quorum.Vote{Hash: hash(1, r.ops[0]), Phase: phaseSynchronized})
	return err
}

// afterHook casts the vote beside the hook that comes after a change.
func (s *storage) afterHook(t *task, r *running) error {
	_, err := s.cast(t, r, quorum.Vote{Hash: hash(2, r.ops[0]), Phase: phaseSynchronized})
	return err
}

// close ends a call that could write nothing: every other one is a push, about which git tells the
// client, and which ends well if all storages cast its last vote.
func (s *storage) close(t *task, r *running) error {
	if r.ops[0]%2 == 1 {
		return errFull
	}
	if _, err := s.cast(t, r, quorum.Vote{Phase: phaseCommitted}); err != nil {
		return err
	}
	return errNothing
}

// closes notes whether a storage's vote says that it could do the write.
func (tx *transaction) closes(storage string, vote quorum.Vote) {
	last := vote == quorum.Vote{Phase: phaseCommitted}
	tx.phases[storage] = vote.Phase
	switch {
	case storage == tx.primary():
		tx.closed = last
		tx.d.in.w.cov.Closings += btoi(last)
	case vote.Phase == phasePreparing:
	case last:
		tx.able = slices.DeleteFunc(tx.able, func(name string) bool { return name == storage })
	case !slices.Contains(tx.able, storage):
		tx.able = append(tx.able, storage)
	}
}

// closedAlone checks that a storage that is ready for a write, of which the primary has changed
// nothing, does not fall behind by it (P3: redundancy is not lost by a change that no storage has
// made).
func (c *check) closedAlone(tx *transaction, waited map[string]func(quorum.Answer), agreeing []string) {
	if !tx.closed || len(tx.votes.Committed()) > 0 {
		return
	}
	for _, name := range tx.able {
		if waited[name] != nil && !slices.Contains(agreeing, name) {
			c.w.failf("P3: %s is ready for op %d, falls behind, and the primary %s has changed nothing", name, tx.request.ops, tx.primary())
		}
	}
}

// mayChange checks that a storage counts as one that may have changed something only once it was
// told to go on with a change (P5): a write that failed before that leaves no doubt.
func (c *check) mayChange(tx *transaction, storage string) {
	if phase := tx.phases[storage]; phase != phaseSynchronized && phase != phasePreparing && !slices.Contains(tx.changing, storage) {
		tx.changing = append(tx.changing, storage)
	}
	if slices.Contains(tx.committed, storage) && !slices.Contains(tx.changing, storage) {
		c.w.failf("P5: %s has voted on op %d beside a hook alone, and counts as changed", storage, tx.request.ops)
	}
}

// names are the names of the voters.
func names(voters []voter) (list []string) {
	for _, v := range voters {
		list = append(list, v.storage)
	}
	return list
}
