package quorum

import "time"

// A write whose calls can be sent again is ordered by the locks of its primary: a storage that has
// locked the write's references before the primary has them gives its locks up, and gets the call
// again when the primary has its own. So no write keeps at another storage a lock that the primary
// has given to another write, even if that write came through another instance.
//
//	cast ─▶ held ──its call ends: Ready──▶ ready ──the primary has its locks: Run──▶ it votes again
//
// Only a storage that has changed nothing is held: before a round was allowed after which something
// may have been changed. The storage votes again for the rounds allowed before.

// Run says that the call of a storage may be sent, for the first time or again.
type Run struct{ Voter string }

// Idle says that the call of a storage is not sent any more.
type Idle struct{ Voter string }

func (Run) effect()  {}
func (Idle) effect() {}

const (
	// repeatFor is how long the fastest storage may have taken to its first vote if storages
	// give their locks up: the call takes as long again, while the primary waits with its own.
	repeatFor = 9 * time.Second
	// orderFor is how long the other storages wait for the primary's locks at the beginning
	// of an ordered write. If it takes longer, that is because the call does.
	orderFor = 3 * time.Second
	// hastyAfter takes the place of yieldAfter where other writes of the repository are seen
	// to give up their locks: each that keeps its own for as long adds to the wait.
	hastyAfter = 20 * time.Millisecond
)

// yieldAfter is how long a storage keeps its locks while the primary has none, when the
// write has taken so long: git waits for the lock of a reference for 1 s.
func yieldAfter(taken time.Duration) time.Duration { return Grace(taken) / 4 }

// Ready says that the call of a storage can be sent: it was not begun, or has ended. It is
// answered by one Run or Idle.
func (q *Votes) Ready(now time.Duration, name string) []Effect {
	q.effects = q.effects[:0]
	switch v := q.voter(name); {
	case v == nil || !v.held:
		q.effects = append(q.effects, Idle{name})
	case q.over:
		v.ready = true
		q.dismiss(v)
	case v.once:
		q.send(v)
	default:
		v.ready = true
		q.decide(now)
	}
	return q.effects
}

// Once says that the call of a storage cannot be sent again, because it is too large to
// be kept. One that was not begun is.
func (q *Votes) Once(name string) []Effect {
	q.effects = q.effects[:0]
	v := q.voter(name)
	if v == nil {
		return nil
	}
	v.once = true
	switch {
	case v.held && !v.yielded && v.ready:
		q.send(v)
	case v.held && v.yielded:
		v.out, v.held = true, false
		q.effects = append(q.effects, Idle{name})
	}
	return q.effects
}

// Ended says that the RPC of a storage has ended, with status OK or not.
func (q *Votes) Ended(now time.Duration, name string, well bool) []Effect {
	q.well = q.well || well && name == q.voters[0].name
	return q.Leave(now, name)
}

// Contended tells that storages gave their locks up before the primary got its own: another write
// had them.
func (q *Votes) Contended() bool { return q.contended }

// Repeats tells how often the call of a storage was sent again after it had given its locks
// up, and whether it has given them up for good: its call was not sent again after that.
func (q *Votes) Repeats(name string) (repeats int, givenUp bool) {
	v := q.voter(name)
	return v.repeats, v.yields > v.repeats
}

// Yield has the storages give up the locks that the primary lacks: another write of the repository
// has them, and waits. It reports false if none can.
func (q *Votes) Yield(now time.Duration) (effects []Effect, ok bool) {
	q.effects = q.effects[:0]
	if q.over || q.accounting || q.voters[0].waiting || q.voters[0].gone {
		return nil, false
	}
	for i := range q.voters {
		if v := &q.voters[i]; i > 0 && q.mayYield(v) {
			q.giveUp(v)
			ok = true
		}
	}
	return q.effects, ok
}

// LocksGivenUp says that another write of the repository has given locks up.
func (q *Votes) LocksGivenUp(now time.Duration) []Effect {
	q.effects = q.effects[:0]
	q.hasty = true
	q.decide(now)
	return q.effects
}

// Hasty tells that this write has given locks up, or another one of the repository.
func (q *Votes) Hasty() bool { return q.hasty }

// yield has storages give up the locks that the primary lacks.
func (q *Votes) yield(now time.Duration) {
	for i := range q.voters {
		// ▲ TestVotes_again: Not after anything may have changed: it would be done twice.
		switch v := &q.voters[i]; {
		case i > 0 && q.mayYield(v) && q.cheap() && now >= q.yields(v):
			q.giveUp(v)
		case q.waitsInVain(v) && now >= q.cfg.Began+orderFor:
			q.run(now, v)
		}
	}
}

// waitsInVain tells whether a call is sent if the primary does not come by its locks soon.
func (q *Votes) waitsInVain(v *voter) bool { return v.held && v.ready && !v.yielded }

// giveUp has a storage give up its locks. ▲ TestVotes_rulesAtRandom: Nothing is changed there.
func (q *Votes) giveUp(v *voter) {
	v.held, v.yielded, v.passed, q.hasty = true, true, 0, true
	v.yields++
	q.reply(v, Abort)
}

// cheap tells whether it does not take long to repeat the call at a storage. The time of a storage
// to its first vote is the call's own time, and the wait for locks of other writes.
func (q *Votes) cheap() bool { return q.takes <= repeatFor }

// mayYield tells whether a storage has locks that it can give up.
func (q *Votes) mayYield(v *voter) bool {
	return q.cfg.Repeatable && !q.effective && v.waiting && v.vote.Phase == phasePrepared && !v.out && !v.once && !v.gone
}

// yields is when it gives them up.
func (q *Votes) yields(v *voter) time.Duration {
	if q.hasty {
		return v.since + hastyAfter
	}
	return v.since + yieldAfter(v.since-q.cfg.Began)
}

// nextYield is when yield has something to do.
func (q *Votes) nextYield() (at time.Duration, ok bool) {
	next := func(t time.Duration) {
		if !ok || t < at {
			at, ok = t, true
		}
	}
	for i := 1; i < len(q.voters); i++ {
		switch v := &q.voters[i]; {
		case q.mayYield(v) && q.cheap():
			next(q.yields(v))
		case q.waitsInVain(v):
			next(q.cfg.Began + orderFor)
		}
	}
	return at, ok
}

// runReady has the calls sent for which the primary's vote waits.
func (q *Votes) runReady(now time.Duration) {
	for i := range q.voters {
		v := &q.voters[i]
		q.contended = q.contended || v.yielded
		if v.held && v.ready {
			q.run(now, v)
		}
	}
}

func (q *Votes) run(now time.Duration, v *voter) {
	v.sent, v.voted = now, false
	q.send(v)
}

func (q *Votes) send(v *voter) {
	if v.held, v.ready = false, false; v.yielded {
		v.repeats++
	}
	q.effects = append(q.effects, Run{v.name})
}

// dismiss decides on a held call when the votes are over: if the primary has ended well without a
// change, the call is sent, because it tells whether there was none to be made.
func (q *Votes) dismiss(v *voter) {
	switch {
	case !v.ready: // Ready asks
	case q.deserted && q.well && !v.out:
		q.send(v)
	default:
		v.held, v.ready = false, false
		q.effects = append(q.effects, Idle{v.name})
	}
}

// catchUp takes the vote of a storage whose call was sent later than the primary's, about a
// round that was allowed. ▲ quorum-catches-up-unlike: It must be the same vote.
func (q *Votes) catchUp(v *voter, vote Vote) {
	if vote != q.past[v.passed] {
		v.out = true
		q.reply(v, Abort)
		return
	}
	v.passed++
	q.reply(v, Commit)
}
