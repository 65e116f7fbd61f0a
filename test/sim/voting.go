package sim

import (
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"praefect/proxy/transaction/quorum"
)

const (
	// voteBound is how long the effect of a vote may come after it was answered; 10 s
	// in truth, and shorter here as tokenLife is.
	voteBound = time.Second
	// voteTimeout is how long a storage waits for the answer to a vote. A silent
	// instance is retired later than that.
	voteTimeout = 2 * time.Second
	// lockTimeout is how long git waits for the lock of a ref.
	lockTimeout = 100 * time.Millisecond
)

// The phases of a vote.
const (
	phasePrepared  = 1
	phaseCommitted = 2
)

var (
	errLocked  = errors.New("the ref is locked by another write")
	errAborted = errors.New("the transaction was aborted")
	errHalted  = errors.New("the transaction was stopped")
	errRefused = errors.New("there is no such transaction")
	errNoVote  = errors.New("the vote has no answer")
	errChanged = errors.New("the ref is not what it was")
)

// lock is the ref of a repository that a call has locked at a storage.
type lock struct {
	path string
	ref  int
	by   *running
}

// voting plays a call that votes, as one thread of the storage.
func (s *storage) voting(t *task, r *running) {
	defer func() {
		s.unlock(r)
		s.forget(r)
	}()
	t.sleep(s.w.between(time.Millisecond, 15*time.Millisecond))
	err := s.rounds(t, r)
	s.unlock(r)
	st := status{err: err}
	if err == errNothing { // the call ends well, and git tells the client the outcome
		st = status{nothing: true}
	}
	if !r.over {
		s.respond(r, st)
	}
}

// rounds votes twice on each thing that the call changes: before and after.
func (s *storage) rounds(t *task, r *running) error {
	w := s.w
	switch {
	case w.chance(0.02):
		return errConflict // by itself, before any vote
	case r.tx.primary() == s.name && w.chance(0.03):
		s.halt(r)
		return errHalted
	case w.chance(0.01): // it hangs
		t.waitFor(&r.news, r.timeout, func() bool { return r.over || r.abandoned })
		return errDeadline
	}
	prepared, committed := int32(phasePrepared), int32(phaseCommitted)
	if w.setup.phaseless {
		prepared, committed = 0, 0
	}
	if idle(w.seed) {
		switch {
		case r.ops[0]%7 == 0: // there is nothing to be done, wherever the call comes
			return errNothing
		case s.full:
			return s.close(t, r)
		}
		if err := s.hooked(t, r); err != nil {
			return err
		}
	}
	for i, o := range r.ops {
		if err := s.acquire(t, r, lock{r.path, o.ref(), r}); err != nil {
			return err
		}
		if r.pool != "" && s.disk.repos[r.pool] == nil {
			return errGone
		}
		if s.disk.repos[r.path] != nil && s.disk.ruined[r.path] {
			return errRuined
		}
		before := s.disk.repos[r.path].at(o.ref())
		vote := quorum.Vote{Hash: hash(before, o), Phase: prepared}
		if w.chance(0.02) {
			vote.Hash = hash(w.rand.Uint64(), o)
		}
		if s.newer && o%2 == 0 { // a change that its release hashes otherwise
			vote.Hash[len(vote.Hash)-1]++
		}
		sent, err := s.cast(t, r, vote)
		if err != nil {
			return err
		}
		t.sleep(s.takesTo(r))
		after := s.disk.repos[r.path]
		switch {
		case r.over, w.now-sent > voteBound*97/100:
			return errDeadline // a storage that was stopped for longer is a known limit
		case after.at(o.ref()) != before:
			return errChanged // the repository was removed, or copied anew
		}
		if s.deviates(r, o) {
			s.put(r, after, o)
		} else {
			s.put(r, after.with(o), o)
		}
		s.unlock(r)
		s.tremble()
		vote.Phase = committed
		// git does not hear a no to a change that it has made, where it runs by itself. That
		// its last hook runs all the same is a known limit.
		_, err = s.cast(t, r, vote)
		if deaf := r.ops[0]%2 == 0; err != nil && (!deaf || r.over || r.abandoned) {
			return err
		}
		if err == nil && i == len(r.ops)-1 {
			if r.tx.primary() == s.name {
				w.check.hook(r.tx)
			}
			if idle(w.seed) {
				return s.afterHook(t, r)
			}
		}
	}
	return nil
}

// deviates tells whether the release of a storage makes something else of a change than the
// primary's, of which the hash of its vote is the only sign.
func (s *storage) deviates(r *running, o op) bool {
	return s.newer && o%2 == 0 && !s.w.storage(r.tx.primary()).newer
}

// takesTo draws how long a write takes from the answer to its effect: no time, or
// up to its bound.
func (s *storage) takesTo(r *running) time.Duration {
	s.tremble()
	if s.w.chance(0.04) {
		return s.w.between(0, voteBound)
	}
	return s.w.between(0, 2*time.Millisecond)
}

// tremble lets some storages die just here.
func (s *storage) tremble() {
	if !s.w.quiet && s.w.chance(s.w.setup.fragile) {
		s.soon(func() { s.w.crash(s, false) })
	}
}

// hash is the value that is voted on: from which state a ref goes to which.
func hash(before uint64, o op) (h [20]byte) {
	binary.LittleEndian.PutUint64(h[:], before)
	binary.LittleEndian.PutUint32(h[8:], uint32(o))
	return h
}

// acquire locks a ref.
func (s *storage) acquire(t *task, r *running, l lock) error {
	timeout := lockTimeout
	if s.w.setup.patient {
		timeout = r.timeout
	}
	r.wants = &l
	defer func() { r.wants = nil }()
	if !t.waitFor(&s.unlocked, timeout, func() bool { return r.over || r.abandoned || !s.locked(l) }) {
		s.w.cov.LockConflicts++
		return errLocked
	}
	if r.over || r.abandoned {
		return errCanceled
	}
	s.locks = append(s.locks, l)
	return nil
}

// locked reports whether another call has the lock.
func (s *storage) locked(l lock) bool {
	return slices.ContainsFunc(s.locks, func(o lock) bool { return o.path == l.path && o.ref == l.ref && o.by != l.by })
}

// inTheWay reports whether a call of one write waits for a ref that a call of the other
// has locked.
func (s *storage) inTheWay(waits, has *transaction) bool {
	return slices.ContainsFunc(s.calls, func(r *running) bool {
		return r.tx == waits && r.wants != nil && slices.ContainsFunc(s.locks, func(o lock) bool {
			return o.path == r.wants.path && o.ref == r.wants.ref && o.by.tx == has
		})
	})
}

// unlock gives up the locks of a call.
func (s *storage) unlock(r *running) {
	n := len(s.locks)
	if s.locks = slices.DeleteFunc(s.locks, func(l lock) bool { return l.by == r }); len(s.locks) < n && s.up {
		s.unlocked.notify()
	}
}

// cast casts a vote and waits for the answer, until the timeout; sent is when
// that was sent. A confused storage insists.
func (s *storage) cast(t *task, r *running, vote quorum.Vote) (sent time.Duration, err error) {
	switch {
	case s.w.setup.confused && s.w.chance(0.2):
		t.sleep(s.w.between(0, 4*time.Second))
	case s.w.chance(0.03):
		t.sleep(s.w.between(0, 1500*time.Millisecond))
	}
	for until := s.now() + voteTimeout; ; {
		sent, err = s.castOnce(t, r, vote, until-s.now())
		if err != errRefused || r.over || r.abandoned || !s.w.setup.confused || s.now() >= until {
			return sent, err
		}
		t.sleep(s.w.between(20*time.Millisecond, 200*time.Millisecond))
	}
}

// castOnce casts a vote over the connection of the call.
func (s *storage) castOnce(t *task, r *running, vote quorum.Vote, timeout time.Duration) (sent time.Duration, err error) {
	over, in := r.conn, r.tx.d.in
	if s.w.setup.confused {
		if l := in.link(s.name); l != nil && l.conn != nil {
			over = l.conn
		}
	}
	r.answered = nil
	id := r.tx.id
	over.send(1, func() {
		if in.ledger == nil {
			return // another life, which does not know of any vote yet
		}
		in.ledger.cast(id, r, s, over, vote, func(a quorum.Answer) {
			at := s.w.now
			over.send(0, func() {
				r.answered = &answeredVote{a, at}
				r.news.notify()
			})
		})
	})
	if r.tx.primary() == s.name && s.w.chance(0.01) { // it thinks better of it
		t.sleep(s.w.between(0, 3*time.Millisecond))
		if r.answered == nil && !r.over {
			s.halt(r)
			s.giveUp(r)
			return 0, errHalted
		}
	}
	t.waitFor(&r.news, max(0, timeout), func() bool { return r.answered != nil || r.over || r.abandoned })
	switch {
	case r.answered == nil:
		s.giveUp(r)
		return 0, errNoVote
	case r.answered.answer == quorum.Commit:
		return r.answered.sent, nil
	case r.answered.answer == refused:
		return 0, errRefused
	case r.answered.answer == quorum.Stop:
		return 0, errHalted
	}
	return 0, errAborted
}

// answeredVote is the answer to a vote.
type answeredVote struct {
	answer quorum.Answer
	sent   time.Duration // true time
}

// giveUp tells the instance that no call waits for the answer to a vote any more.
func (s *storage) giveUp(r *running) {
	tx := r.tx
	r.conn.send(1, func() {
		if !tx.ended {
			tx.leave(s.name)
		}
	})
}

// halt tells the instance that nothing is to be changed after all.
func (s *storage) halt(r *running) {
	in, id, conn := r.tx.d.in, r.tx.id, r.conn
	conn.send(1, func() { in.ledger.halt(id, s, conn) })
}
