package ballot

import (
	"slices"
	"time"
)

// Vote is what a storage is about to do.
type Vote struct {
	// Hash is over what it is about to change.
	Hash [20]byte
	// Phase is the storage's name for how far it is; votes of different phases
	// differ.
	Phase int32
}

// Answer is what a storage is told to do.
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

// Effect is what is to be done.
type Effect interface{ effect() }

// Reply answers the vote of a storage.
type Reply struct {
	Voter  string
	Answer Answer
}

// Account asks that everybody who does not agree be accounted for, before the
// votes of those who do are answered. It is answered by Released.
type Account struct {
	// Agreeing are those who agree, the primary first.
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

// Config says who votes, and when there are enough.
type Config struct {
	// Voters are the destinations, the primary first.
	Voters []string
	// Copies is how many must agree in all; beside a majority.
	Copies int
	// Block has a write aborted on which too few agree.
	Block bool
	// Began is when the write began.
	Began time.Duration
	// Patience is how long a write waits for storages that may yet vote, if too few agree
	// on it or one of them is not hurried. 12 s if zero.
	Patience time.Duration
}

// Ballot is the votes of one write. It belongs to its driver, one goroutine at a
// time. Times are by any clock that does not fall.
type Ballot struct {
	cfg    Config
	voters []voter // the primary first

	rounds     int           // released
	effective  bool          // one of them let a storage change something
	cast       bool          // a vote was that counts
	since      time.Duration // when the primary cast the vote that waits
	enough     time.Duration // when enough agreed with it; negative: not yet
	accounting bool          // an Account has no answer yet
	over       bool          // every vote is answered with last
	blocked    bool          // because fewer agreed than are enough
	deserted   bool          // since the primary left without having done anything
	failed     bool          // the primary has not done what others could
	looked     time.Duration // when Tick was called last
	last       Answer
	effects    []Effect // of the call under way
}

// voter is one destination.
type voter struct {
	name string
	// out: it has not done what the others have.
	out bool
	// gone: it casts no more votes.
	gone bool
	// committed: a vote of it was answered with Commit, so that it may have changed
	// something.
	committed bool
	// waiting: it has cast vote, and has no answer.
	waiting bool
	vote    Vote
	// hurried: it is given no more than the grace, unless too few agree.
	hurried bool
}

// New makes the ballot of a write.
func New(cfg Config) *Ballot {
	if cfg.Patience == 0 {
		cfg.Patience = Patience
	}
	b := &Ballot{cfg: cfg}
	for _, name := range cfg.Voters {
		b.voters = append(b.voters, voter{name: name})
	}
	return b
}

// Cast takes the vote of a storage, which waits for its Reply. It reports false if
// that storage has no say, or has a vote waiting already: there is no Reply then.
// Effects are valid until the next call, here and below.
func (b *Ballot) Cast(now time.Duration, name string, vote Vote) (effects []Effect, ok bool) {
	b.effects = b.effects[:0]
	v := b.voter(name)
	switch {
	case v == nil || v.waiting:
		return nil, false
	case b.over:
		// ▲ It goes on where the primary had nothing more to do.
		v.out = v.out || b.voters[0].gone && vote.Phase != phasePreparing
		b.failed = b.failed || b.deserted && vote.Phase != phasePreparing
		b.reply(v, b.last)
		return b.effects, true
	case v.out || v.gone: // ▲ it lacks what the others have, or may lack it
		b.reply(v, Abort)
		return b.effects, true
	case vote.Phase == phasePreparing: // ▲ it is no round: a storage of an older release does not cast it
		b.reply(v, Commit)
		return b.effects, true
	}
	v.waiting, v.vote, b.cast = true, vote, true
	if v == &b.voters[0] {
		b.since, b.enough = now, -1
	}
	b.decide(now)
	return b.effects, true
}

// Leave says that a storage casts no more votes: its RPC has ended, or whoever
// waited for the answer to its vote is gone. A vote that waits counts no longer.
func (b *Ballot) Leave(now time.Duration, name string) []Effect {
	b.effects = b.effects[:0]
	v := b.voter(name)
	if v == nil || v.gone {
		return nil
	}
	v.gone = true
	if v.waiting { // whether it takes the answer nobody will know
		v.out = true
		b.reply(v, Abort)
	}
	b.decide(now)
	return b.effects
}

// Halt says that a storage has decided that nothing more is to be changed. The
// primary decides for all, another one for itself.
func (b *Ballot) Halt(now time.Duration, name string) []Effect {
	b.effects = b.effects[:0]
	switch v := b.voter(name); {
	case v == nil || b.over:
	case v == &b.voters[0]:
		b.end(Stop)
	default:
		v.out = true
		if v.waiting {
			b.reply(v, Stop)
		}
		b.decide(now)
	}
	return b.effects
}

// Released answers an Account: with ok those who agree may go on. Otherwise
// nothing of the write may happen any more.
func (b *Ballot) Released(now time.Duration, ok bool) []Effect {
	b.effects = b.effects[:0]
	if !b.accounting {
		return nil
	}
	b.accounting = false
	if b.over {
		return nil
	}
	if !ok || b.voters[0].out { // ▲ a vote of the primary that is taken back counts for nobody
		b.end(Abort)
		return b.effects
	}
	b.rounds++
	b.effective = b.effective || !b.harmless()
	for i := range b.voters {
		if v := &b.voters[i]; v.waiting && !v.out {
			v.committed = v.committed || b.effective
			b.reply(v, Commit)
		}
	}
	b.decide(now) // nobody waits; but the primary may be gone
	return b.effects
}

// Abort ends the ballot: no vote is answered with Commit any more.
func (b *Ballot) Abort() []Effect {
	b.effects = b.effects[:0]
	if !b.over {
		b.end(Abort)
	}
	return b.effects
}

// Hurry says whether a storage is given no more than the grace: it is silent, or has
// kept another write waiting in vain.
func (b *Ballot) Hurry(now time.Duration, name string, hurried bool) []Effect {
	b.effects = b.effects[:0]
	if v := b.voter(name); v != nil {
		v.hurried = hurried
		b.decide(now)
	}
	return b.effects
}

// Tick says that time has passed.
func (b *Ballot) Tick(now time.Duration) []Effect {
	b.effects = b.effects[:0]
	b.looked = now
	b.decide(now)
	return b.effects
}

// Next is when Tick is to be called at the latest; false if time changes nothing. Hurry
// is called before, for each of Awaited.
func (b *Ballot) Next() (at time.Duration, ok bool) {
	if b.over || b.accounting || !b.voters[0].waiting {
		return 0, false
	}
	end, grace := b.graceEnds(), b.since+Grace(b.since-b.cfg.Began)
	if agreeing, _ := b.count(b.voters[0].vote); b.short(agreeing) {
		return end, true
	}
	return min(end, max(grace, b.looked+lookAgain)), true
}

// Awaited are the storages for which a vote of the primary waits.
func (b *Ballot) Awaited() []string {
	var names []string
	for i := range b.voters {
		if v := &b.voters[i]; b.voters[0].waiting && v.mayVote() {
			names = append(names, v.name)
		}
	}
	return names
}

// Agreed are those whose votes were released with the primary's in every round,
// the primary among them. It is empty before the first release.
func (b *Ballot) Agreed() []string {
	if b.rounds == 0 {
		return nil
	}
	var names []string
	for i := range b.voters {
		if !b.voters[i].out {
			names = append(names, b.voters[i].name)
		}
	}
	return names
}

// Committed are those a vote of whom was answered with Commit: nobody else can have
// changed anything.
func (b *Ballot) Committed() []string {
	var names []string
	for i := range b.voters {
		if b.voters[i].committed {
			names = append(names, b.voters[i].name)
		}
	}
	return names
}

// Useless are those who are out and have changed nothing: how their RPCs end tells
// nothing more.
func (b *Ballot) Useless() []string {
	var names []string
	for i := range b.voters {
		if v := &b.voters[i]; v.out && !v.committed {
			names = append(names, v.name)
		}
	}
	return names
}

// Blocked tells that the write was aborted because fewer agreed than are enough.
func (b *Ballot) Blocked() bool { return b.blocked }

// PrimaryFailed tells that the primary ended without a vote, or with another one, before
// anything had happened, while others voted alike: what they are about to do the primary
// could not.
func (b *Ballot) PrimaryFailed() bool { return b.failed }

// Halted tells that the primary has decided that nothing more is to be changed.
func (b *Ballot) Halted() bool { return b.over && b.last == Stop }

// Voted tells that a storage has cast a vote that counts.
func (b *Ballot) Voted() bool { return b.cast }

// harmless tells that what the primary has voted for changes nothing.
func (b *Ballot) harmless() bool {
	return !b.effective && b.voters[0].vote.Phase == phaseSynchronized
}

// Rounds tells how many rounds were released.
func (b *Ballot) Rounds() int { return b.rounds }

func (b *Ballot) voter(name string) *voter {
	i := slices.IndexFunc(b.voters, func(v voter) bool { return v.name == name })
	if i < 0 {
		return nil
	}
	return &b.voters[i]
}

func (b *Ballot) reply(v *voter, a Answer) {
	v.waiting = false
	b.effects = append(b.effects, Reply{Voter: v.name, Answer: a})
}

// end answers every vote that waits, and every later one.
func (b *Ballot) end(a Answer) {
	b.over, b.last = true, a
	for i := range b.voters {
		if v := &b.voters[i]; v.waiting {
			b.reply(v, a)
		}
	}
}
