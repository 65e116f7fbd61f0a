package quorum

// The phases, as the API numbers them, whose votes are cast with locks held: git
// has locked all references of a transaction when it votes that they are prepared,
// and none any more when it votes that they are committed. Nor does a storage hold
// any that waits for the others before or after a hook, or before it prepares. A
// storage that does not name the phase may hold some.
const (
	phaseUnknown   = 0
	phasePrepared  = 1
	phaseCommitted = 2
)

// The phases whose votes are cast before a storage has done anything: a hook that
// runs before references are locked, unless references were changed before; and,
// in newer releases, the vote before the locks.
const (
	phaseSynchronized = 3
	phasePreparing    = 4
)

// Contend tells whether two writes of one repository may wait for each other: each has locked
// references at some storage that the other may still be waiting for there. They certainly do not
// if both have their locks at one storage at the same time, because a write changes the same
// everywhere.
//
// Contend cannot tell such a wait from a slow storage: only the wait lasts.
func Contend(a, b *Votes) bool {
	if a.over || b.over || a.accounting || b.accounting {
		return false
	}
	var aFirst, bFirst bool
	for i := range a.voters {
		v := &a.voters[i]
		w := b.voter(v.name)
		if w == nil {
			continue
		}
		switch {
		case v.locks() && w.locks():
			return false
		case v.locks() && w.mayVote():
			aFirst = true
		case w.locks() && v.mayVote():
			bFirst = true
		}
	}
	return aFirst && bFirst
}

// locks tells whether a storage keeps other writes from the references that it is about to change,
// until it has an answer.
func (v *voter) locks() bool {
	return v.waiting && !v.out && (v.vote.Phase == phasePrepared || v.vote.Phase == phaseUnknown)
}

// mayVote tells whether a storage has yet to cast a vote that counts.
func (v *voter) mayVote() bool { return !v.waiting && !v.out && !v.gone }
