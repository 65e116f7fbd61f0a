package sim

import (
	"errors"
	"fmt"
	"time"
)

// tokenLife is for how long a storage takes a token: 30 s in truth, and shorter
// here as electorSettings.RetireAfter is.
const tokenLife = 1200 * time.Millisecond

// verbs of the calls to storages.
type verb int

const (
	verbLook   verb = iota // reads the replica
	verbWrite              // an effect of a client
	verbDelete             // of a client
	verbReplicate
	verbRemove
)

func (v verb) String() string {
	return [...]string{"look", "write", "delete", "copy", "removal"}[v]
}

// call is one RPC at a storage.
type call struct {
	verb verb
	path string
	pool string // of verbWrite: a repository that must be there, or ""
	ops  []op
	// timeout is the time that was left until the deadline when it was sent.
	timeout time.Duration
	// dated is the wall clock of its token.
	dated time.Duration
	// source is where a copy comes from; advances tells that it contains the target.
	source   *storage
	advances bool
	// remakes tells that a removal comes before a copy from nothing.
	remakes bool
	// tx is the transaction that a write votes in, if it does; the storage knows only its id,
	// and whether the storage is the primary.
	tx   *transaction
	sent time.Duration // true time
}

// status is how a call ended at the storage.
type status struct {
	err   error
	found *content // of verbLook
	// nothing tells that a write has changed nothing, and the client knows.
	nothing bool
}

var (
	errToken    = errors.New("the token is too old")
	errConflict = errors.New("the write conflicts")
	errGone     = errors.New("there is no such repository")
	errSource   = errors.New("the source cannot be reached")
	errDeadline = errors.New("the deadline has passed")
	errLost     = errors.New("the connection was lost")
	errCanceled = errors.New("canceled")
)

// storage is one storage server.
type storage struct {
	*process
	index int
	disk  *disk
	// calls under way, in the order of their coming.
	calls []*running
	disks []*disk // all that it has had
	// votes tells that it speaks the backchannel.
	votes bool
	// newer tells that it runs another release, which hashes some changes otherwise.
	newer bool
	// full tells that its disk is.
	full     bool
	locks    []lock
	unlocked signal
}

// running is a call under way at a storage.
type running struct {
	call
	conn     *conn
	deadline time.Duration // by the clock of the storage
	fetched  *content      // the content that a copy has got from its source
	over     bool
	waited   time.Duration // for locks
	answer   func(status)

	// Of a call that votes:
	abandoned bool          // no caller waits for it
	wants     *lock         // the lock that it waits for; nil: for none
	answered  *answeredVote // the answer to the last vote, once it is there
	news      signal        // of both
}

// newDisk puts an empty disk into the storage.
func (s *storage) newDisk() {
	s.disk = &disk{id: fmt.Sprintf("%s-disk-%d", s.name, len(s.disks)+1), repos: make(map[string]*content)}
	s.disks = append(s.disks, s.disk)
}

// bringBack puts a former disk back.
func (s *storage) bringBack(id string) {
	s.crash()
	for _, d := range s.disks {
		if d.id == id {
			s.disk = d
		}
	}
	s.start()
}

// wall is the wall clock, which all hosts keep near enough.
func (w *simulation) wall() time.Duration { return w.now }

// arrive begins a call. answer is called once, unless the storage dies.
func (s *storage) arrive(c call, conn *conn, answer func(status)) *running {
	r := &running{call: c, conn: conn, deadline: s.now() + c.timeout, answer: answer}
	if c.verb != verbLook && s.w.wall()-c.dated > tokenLife {
		s.w.cov.RefusedTokens++
		s.w.tracef("%s refuses the token of %s %d", s.name, c.path, c.ops)
		r.finish(status{err: errToken})
		return r
	}
	s.calls = append(s.calls, r)
	if c.tx != nil {
		s.w.tracef("%s: %s of %s (op %d) from %s arrives, and will vote", s.name, c.verb, c.path, c.ops, conn.ends[0].name)
		s.run(func(t *task) { s.voting(t, r) })
		return r
	}
	d := s.duration(c)
	if c.verb != verbLook {
		s.w.tracef("%s: %s of %s (op %d) from %s arrives, for %v", s.name, c.verb, c.path, c.ops, conn.ends[0].name, d)
	}
	if c.verb == verbReplicate {
		s.after(s.w.between(0, min(d, 5*time.Millisecond)), func() { s.fetch(r) })
	}
	s.after(d+1, func() { s.effect(r) })
	return r
}

// duration draws how long a call takes until its effect.
func (s *storage) duration(c call) time.Duration {
	late := 0.05
	if s.w.setup.tardy {
		late = 0.3
	}
	switch {
	case c.verb == verbLook:
		return s.w.between(50*time.Microsecond, time.Millisecond)
	case s.w.chance(late), c.verb == verbReplicate && s.w.chance(0.1):
		return s.w.between(0, c.timeout) // up to its bound, as a copy of much is
	}
	return s.w.between(time.Millisecond, 25*time.Millisecond)
}

// fetch gets for a copy the present content of its source: later changes are missed.
func (s *storage) fetch(r *running) {
	if src := r.source; src.up && s.w.net.both(s.node, src.node) && src.paused <= s.w.now {
		r.fetched = src.disk.repos[r.path]
	}
}

func (r *running) finish(st status) {
	if !r.over {
		r.over = true
		r.answer(st)
	}
}

// effect lets the effect of a call happen, if it still may, and answers.
func (s *storage) effect(r *running) {
	if r.verb == verbWrite && !r.over && s.contended(r) {
		return // it tries again
	}
	defer s.forget(r)
	if r.over {
		return
	}
	if r.verb != verbLook && s.now() > r.deadline {
		r.finish(status{err: errDeadline})
		return
	}
	st := status{}
	before := s.disk.repos[r.path]
	if s.full && (r.verb == verbWrite || r.verb == verbReplicate && !before.equal(r.fetched)) {
		s.respond(r, status{err: errFull})
		return
	}
	if before != nil && s.disk.ruined[r.path] && (r.verb == verbWrite || r.verb == verbReplicate) {
		s.respond(r, status{err: errRuined})
		return
	}
	switch r.verb {
	case verbLook:
		st.found = before
	case verbWrite:
		switch {
		case r.pool != "" && s.disk.repos[r.pool] == nil:
			st.err = errGone
		case s.w.chance(0.03): // nothing happened
			st.err = errConflict
		case s.w.chance(0.02): // half of it happened
			st.err = errConflict
			s.put(r, before.with(r.ops[0]), r.ops[0])
		default:
			s.put(r, before.with(r.ops...), r.ops...)
		}
	case verbDelete:
		if before == nil {
			st.err = errGone
		}
		s.w.check.deleted(before, r.ops[0])
		s.put(r, nil, r.ops...)
	case verbRemove:
		if r.remakes {
			s.w.check.remade(s, r.path)
		}
		s.put(r, nil)
	case verbReplicate:
		found := r.fetched
		if found == nil {
			st.err = errSource
			break
		}
		if before.equal(found) && !s.w.chance(0.3) {
			break
		}
		s.put(r, before.halfWay(found, r.advances))
		s.calls = append(s.calls, r) // goes on
		s.after(s.w.between(time.Millisecond, 10*time.Millisecond), func() { s.complete(r, found) })
		return
	}
	s.respond(r, st)
}

// contended has a write wait for a while for the calls that have locked the refs that it
// is to change, and reports whether it does.
func (s *storage) contended(r *running) bool {
	for _, o := range r.ops {
		if !s.locked(lock{r.path, o.ref(), r}) {
			continue
		}
		if r.waited += lockTimeout / 10; r.waited > lockTimeout {
			s.forget(r)
			s.respond(r, status{err: errLocked})
			return true
		}
		s.after(lockTimeout/10, func() { s.effect(r) })
		return true
	}
	return false
}

// complete ends a copy.
func (s *storage) complete(r *running, found *content) {
	defer s.forget(r)
	switch {
	case r.over:
	case s.now() > r.deadline:
		r.finish(status{err: errDeadline})
	default:
		if len(found.ops) > 0 && s.w.setup.sloppy > 0 && s.w.chance(s.w.setup.sloppy) {
			found = found.without(s.disk.repos[r.path])
		}
		s.put(r, found)
		s.respond(r, status{})
	}
}

// respond sends the status a moment after the effect.
func (s *storage) respond(r *running, st status) {
	d := s.w.between(0, time.Millisecond)
	if s.w.chance(0.02) {
		d = s.w.between(0, time.Second)
	}
	s.after(d, func() { r.finish(st) })
}

// put changes a replica by these effects of a client, or by a copy.
func (s *storage) put(r *running, c *content, ops ...op) {
	before := s.disk.repos[r.path]
	s.w.check.overwrites(s, r, before, c)
	if c == nil {
		delete(s.disk.repos, r.path)
		delete(s.disk.ruined, r.path)
	} else {
		s.disk.repos[r.path] = c
	}
	s.w.check.spreads(s, r)
	if !before.equal(c) {
		s.w.check.effect(s, &r.call, ops)
	}
}

// abandon tells the storage that no caller waits for a call any more: it may end
// it there and then, or go on until its bound.
func (s *storage) abandon(r *running) {
	if r.tx != nil && !r.abandoned {
		r.abandoned = true
		r.news.notify()
	}
	if r.verb == verbLook || s.w.chance(0.5) {
		r.over = true
	} else {
		s.w.cov.LateEffects++
	}
}

// hungUp tells the storage that a connection is gone, and with it the callers over it.
func (s *storage) hungUp(c *conn) {
	for _, r := range s.calls {
		if r.conn == c && (r.tx == nil || !s.w.setup.confused) {
			s.abandon(r)
		}
	}
}

func (s *storage) forget(r *running) { remove(&s.calls, r) }

// crash ends the process: the calls under way stop where they are.
func (s *storage) crash() {
	for _, r := range s.calls {
		r.over = true
	}
	s.calls = nil
	s.end()
	s.locks, s.unlocked = nil, signal{}
}
