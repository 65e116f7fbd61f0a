package quorum

import (
	"math"
	"slices"
	"time"
)

// Vote stands for the change that a storage is about to make.
type Vote struct {
	// Hash is the hash of that change.
	Hash [20]byte
	// Phase is the storage's name for how far it is; votes of different phases
	// differ.
	Phase int32
}

// Answer tells a storage how to go on.
type Answer int

// The answers to a vote.
const (
	// Commit: go on.
	Commit Answer = iota
	// Abort: undo it, and end the RPC with an error.
	Abort
	// Stop: undo it, and end the RPC without one: the primary has decided that
	// nothing is to be changed.
	Stop
)

// String returns the answer as the API names it.
func (a Answer) String() string { return [...]string{"COMMIT", "ABORT", "STOP"}[a] }

// Effect is an action for the driver.
type Effect interface{ effect() }

// Reply answers the vote of a storage.
type Reply struct {
	Voter  string
	Answer Answer
}

// Account asks that every storage that does not agree be accounted for, before the votes of the
// agreeing storages are answered. It is answered by Allowed.
type Account struct {
	// Agreeing are the storages that agree, the primary first.
	Agreeing []string
	// Short tells that they are fewer than enough.
	Short bool
	// Late are the storages that were given all the time there is, and have not voted.
	Late []string
	// Harmless tells that the storages have changed nothing yet, and will not before
	// their next vote.
	Harmless bool
}

func (Reply) effect()   {}
func (Account) effect() {}

// Config names the voters, and says when enough of them agree.
type Config struct {
	// Voters are the destinations, the primary first.
	Voters []string
	// OtherRelease are the voters that run another release than the primary: they may hash the
	// same change otherwise.
	OtherRelease []string
	// Copies is how many must agree in all; beside a majority.
	Copies int
	// Block has a write aborted on which too few agree.
	Block bool
	// Began is when the write began.
	Began time.Duration
	// VoteTimeout is how long a write waits for storages that may yet vote, if too few agree
	// on it or one of them is not hurried. 12 s if zero.
	VoteTimeout time.Duration
	// Repeatable tells that calls can be sent again: then a storage gives up the locks that
	// the primary does not get. Ordered has no call sent but the primary's before that has
	// its locks.
	Repeatable bool
	Ordered    bool
}

// Votes is the votes of one write. It belongs to its driver, one goroutine at a
// time. Times are by any clock that does not fall.
type Votes struct {
	cfg    Config
	voters []voter // the primary first

	rounds     int           // allowed
	effective  bool          // one of them let a storage change something
	cast       bool          // a vote was that counts
	since      time.Duration // when the primary cast the vote that waits
	enough     time.Duration // when enough agreed with it; negative: not yet
	accounting bool          // an Account has no answer yet
	over       bool          // every vote is answered with last
	blocked    bool          // because fewer agreed than are enough
	deserted   bool          // since the primary left without having done anything
	failed     bool          // the primary could not make a change that others could
	well       bool          // the primary's RPC has ended with status OK
	hasty      bool          // see LocksGivenUp
	contended  bool          // storages gave their locks up to another write
	takes      time.Duration // from a call to its first vote, at the fastest storage that has voted
	past       []Vote        // allowed before anything could change
	looked     time.Duration // when Tick was called last
	last       Answer
	effects    []Effect // of the call under way
}

// voter is one destination.
type voter struct {
	name string
	// otherRelease: it runs another release than the primary.
	otherRelease bool
	// out: it has not made the changes of the others.
	out bool
	// gone: it casts no more votes.
	gone bool
	// unlike: it is out because its vote cannot be compared with the primary's.
	unlike bool
	// committed: a vote of it was answered with Commit, so that it may have changed
	// something.
	committed bool
	// waiting: it has cast vote, and has no answer.
	waiting bool
	vote    Vote
	// hurried: it is given no more than the grace, unless too few agree.
	hurried bool
	// sent is when its call was sent last; voted: it has cast a vote since.
	sent  time.Duration
	voted bool
	// since is when it cast the vote that waits, or the last one; passed is how many of its
	// votes were allowed.
	since  time.Duration
	passed int
	// held: its call is not sent, or does not count any more; it is sent when the primary
	// has its locks. ready: nothing of it is under way. yielded: it gave its locks up. once:
	// its call cannot be sent again.
	held, ready, yielded, once bool
	// yields is how often it gave its locks up, repeats how often its call was sent again.
	yields, repeats int
}

// New makes the votes of a write.
func New(cfg Config) *Votes {
	if cfg.VoteTimeout == 0 {
		cfg.VoteTimeout = VoteTimeout
	}
	q := &Votes{cfg: cfg, takes: math.MaxInt64}
	for i, name := range cfg.Voters {
		q.voters = append(q.voters, voter{
			name: name, otherRelease: slices.Contains(cfg.OtherRelease, name), sent: cfg.Began,
			held: cfg.Repeatable && cfg.Ordered && i > 0,
		})
	}
	return q
}

// Cast takes the vote of a storage, which waits for its Reply. It reports false if
// that storage has no say, or has a vote waiting already: there is no Reply then.
// Effects are valid until the next call, here and below.
func (q *Votes) Cast(now time.Duration, name string, vote Vote) (effects []Effect, ok bool) {
	q.effects = q.effects[:0]
	v := q.voter(name)
	if v == nil || v.waiting {
		return nil, false
	}
	if !v.voted {
		v.voted, q.takes = true, min(q.takes, now-v.sent)
	}
	switch {
	case v.held: // it votes in a call that does not count any more
		q.reply(v, Abort)
		return q.effects, true
	case v.passed < len(q.past) && !v.out && !v.gone && vote.Phase != phasePreparing && (!q.over || q.deserted):
		q.catchUp(v, vote)
		return q.effects, true
	case q.over:
		// ▲ quorum-more-than-the-primary: It goes on where the primary had nothing more to do.
		v.out = v.out || q.voters[0].gone && vote.Phase != phasePreparing
		q.failed = q.failed || q.deserted && vote.Phase != phasePreparing && !v.otherRelease
		q.reply(v, q.last)
		return q.effects, true
	case v.out || v.gone: // ▲ driver-votes-other-connection, quorum-late-comes-back: it lacks changes of the others, or may lack them
		q.reply(v, Abort)
		return q.effects, true
	case vote.Phase == phasePreparing: // ▲ quorum-counts-preparing: it is no round: a storage of an older release does not cast it
		q.reply(v, Commit)
		return q.effects, true
	}
	q.cast = true
	v.waiting, v.vote, v.since = true, vote, now
	if v == &q.voters[0] {
		q.since, q.enough = now, -1
	}
	q.decide(now)
	return q.effects, true
}

// Leave says that a storage casts no more votes: its RPC has ended, or its wait for the answer to
// its vote. A vote that waits counts no longer.
func (q *Votes) Leave(now time.Duration, name string) []Effect {
	q.effects = q.effects[:0]
	v := q.voter(name)
	if v == nil || v.gone {
		return nil
	}
	if v.gone = true; v.held && v.ready {
		q.effects = append(q.effects, Idle{name})
	}
	v.held = false
	if v.waiting { // we will not know whether it takes the answer
		v.out = true
		q.reply(v, Abort)
	}
	q.decide(now)
	return q.effects
}

// Halt says that a storage has decided that nothing more is to be changed. The
// primary decides for all, another one for itself.
func (q *Votes) Halt(now time.Duration, name string) []Effect {
	q.effects = q.effects[:0]
	switch v := q.voter(name); {
	case v == nil || q.over:
	case v == &q.voters[0]:
		q.end(Stop) // ▲ quorum-commits-stopped
	default:
		v.out = true
		if v.waiting {
			q.reply(v, Stop)
		}
		q.decide(now)
	}
	return q.effects
}

// Allowed answers an Account: with ok the agreeing storages may go on. Otherwise
// nothing of the write may happen any more.
func (q *Votes) Allowed(now time.Duration, ok bool) []Effect {
	q.effects = q.effects[:0]
	if !q.accounting {
		return nil
	}
	q.accounting = false
	if q.over {
		return nil
	}
	if !ok || q.voters[0].out { // ▲ quorum-primary-takes-back, quorum-allows-unaccounted: a vote of the primary that is taken back does not count
		q.end(Abort)
		return q.effects
	}
	q.rounds++
	if q.effective = q.effective || !q.harmless(); !q.effective {
		q.past = append(q.past, q.voters[0].vote)
	}
	for i := range q.voters {
		if v := &q.voters[i]; v.waiting && !v.out {
			v.committed = v.committed || q.effective
			v.passed++
			q.reply(v, Commit)
		}
	}
	q.decide(now) // no voter waits; but the primary may be gone
	return q.effects
}

// Abort ends the votes: no vote is answered with Commit any more.
func (q *Votes) Abort() []Effect {
	q.effects = q.effects[:0]
	if !q.over {
		q.end(Abort)
	}
	return q.effects
}

// Hurry says whether a storage is given no more than the grace: it is silent, or has
// kept another write waiting in vain.
func (q *Votes) Hurry(now time.Duration, name string, hurried bool) []Effect {
	q.effects = q.effects[:0]
	if v := q.voter(name); v != nil {
		v.hurried = hurried
		q.decide(now)
	}
	return q.effects
}

// Tick says that time has passed.
func (q *Votes) Tick(now time.Duration) []Effect {
	q.effects = q.effects[:0]
	q.looked = now
	q.decide(now)
	return q.effects
}

// Next is when Tick is to be called at the latest; false if time changes nothing. Hurry
// is called before, for each of Awaited.
func (q *Votes) Next() (at time.Duration, ok bool) {
	switch {
	case q.over || q.accounting:
		return 0, false
	case !q.voters[0].waiting:
		return q.nextYield()
	}
	end, grace := q.graceEnds(), q.since+Grace(q.since-q.cfg.Began)
	if agreeing, _ := q.count(q.voters[0].vote); q.short(agreeing) {
		return end, true
	}
	return min(end, max(grace, q.looked+lookAgain)), true
}

// Awaited are the storages for which a vote of the primary waits.
func (q *Votes) Awaited() []string {
	return q.names(func(v *voter) bool { return q.voters[0].waiting && v.mayVote() })
}

// Agreed are the storages whose votes were allowed with the primary's in every round,
// the primary among them. It is empty before the first round was allowed.
func (q *Votes) Agreed() []string {
	if q.rounds == 0 {
		return nil
	}
	return q.names(func(v *voter) bool { return !v.out })
}

// Committed are the storages with a vote that was answered with Commit: no other storage can have
// changed anything.
func (q *Votes) Committed() []string {
	return q.names(func(v *voter) bool { return v.committed })
}

// Useless are the storages that are out and have changed nothing: how their RPCs end tells
// nothing more.
func (q *Votes) Useless() []string {
	return q.names(func(v *voter) bool { return v.out && !v.committed })
}

// Blocked tells that the write was aborted because fewer agreed than are enough.
func (q *Votes) Blocked() bool { return q.blocked }

// PrimaryFailed tells that the primary ended without a vote, or with another one, before
// anything had happened, while other storages of its release voted alike, or that its vote
// was the last one while such a storage was ready: the primary could not make the change that they
// are about to make.
func (q *Votes) PrimaryFailed() bool { return q.failed }

// Halted tells that the primary has decided that nothing more is to be changed.
func (q *Votes) Halted() bool { return q.over && q.last == Stop }

// Voted tells that a storage has cast a vote that counts.
func (q *Votes) Voted() bool { return q.cast }

// harmless tells that the primary's vote stands for no change.
// ▲ quorum-prepared-is-harmless, quorum-hook-leaves-doubt: That is so beside a hook alone.
func (q *Votes) harmless() bool {
	return !q.effective && q.voters[0].vote.Phase == phaseSynchronized
}

// Unlike are the storages that were left out because they run another release and cast a
// vote that no storage of the primary's release has cast.
func (q *Votes) Unlike() []string {
	return q.names(func(v *voter) bool { return v.unlike })
}

// Rounds tells how many rounds were allowed.
func (q *Votes) Rounds() int { return q.rounds }

// names are the names of the voters that fn picks, in their order.
func (q *Votes) names(fn func(*voter) bool) (names []string) {
	for i := range q.voters {
		if v := &q.voters[i]; fn(v) {
			names = append(names, v.name)
		}
	}
	return names
}

func (q *Votes) voter(name string) *voter {
	i := slices.IndexFunc(q.voters, func(v voter) bool { return v.name == name })
	if i < 0 {
		return nil
	}
	return &q.voters[i]
}

func (q *Votes) reply(v *voter, a Answer) {
	v.waiting = false
	q.effects = append(q.effects, Reply{Voter: v.name, Answer: a})
}

// end answers every vote that waits, and every later one.
func (q *Votes) end(a Answer) {
	q.over, q.last = true, a
	for i := range q.voters {
		switch v := &q.voters[i]; {
		case v.waiting:
			q.reply(v, a)
		case v.held:
			q.dismiss(v)
		}
	}
}
