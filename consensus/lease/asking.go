package lease

import "time"

// Asking decides when an instance asks for a lease again.
//
// The leader's own ask makes it question every instance. The others ask again together
// with their answers, so that one round of messages renews every lease.
type Asking struct {
	next     time.Duration // when at the latest
	early    time.Duration // when with the answer to a new question
	question uint64        // the latest one at the last ask
}

// Due tells whether to ask now, given the latest question.
func (a Asking) Due(now time.Duration, question uint64) bool {
	return now >= a.next || now >= a.early && question > a.question
}

// Next is when to ask again at the latest.
func (a Asking) Next() time.Duration { return a.next }

// Asked notes an ask for a lease of that length. An instance that does not lead waits
// longer, because the leader's question is to come first. In calm half of the lease is left at the
// next ask.
func (a *Asking) Asked(now time.Duration, question uint64, length time.Duration, leads, calm bool) {
	next := length / 4
	if calm {
		next = length * 3 / 8
	}
	a.question, a.early, a.next = question, now+next/2, now+next
	if !leads {
		a.next += length / 16
	}
}
