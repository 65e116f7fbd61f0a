package proxy

import (
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/proxy/stream"
)

const (
	// lockTimeout is the shortest time for which git waits for a lock: that of one reference.
	// A call that failed sooner did not lose a lock.
	lockTimeout = time.Second
	// sentAgain is how often a write is sent again whose repository is known to have writes
	// that contend. Otherwise a write is sent again once.
	sentAgain = 3
	// againAfter bounds the pause before a write is sent again, which is chosen at random: a
	// git that begins to wait asks for the lock more often than one that has waited for long.
	againAfter = 100 * time.Millisecond
)

// attempt is one try of a write, as lostLocks needs to know it.
type attempt struct {
	// code is the primary's status, and took the time until it came.
	code codes.Code
	took time.Duration
	// left is the time until the client's deadline.
	left time.Duration
	// contended tells that writes of the repository were seen to contend; before is how often
	// the write was sent again already.
	contended bool
	before    int
}

// lostLocks tells whether a write that has changed nothing may have failed because git, at
// the primary, gave up waiting for a lock that another write had. Git has no queue for a lock, so
// that of several writes that come through different instances one may be passed over until its
// time is over.
func lostLocks(a attempt) bool {
	if a.took < lockTimeout || a.left < a.took+againAfter {
		return false
	}
	switch a.code {
	case codes.Internal, codes.Aborted, codes.FailedPrecondition: // releases differ in their status for a lock
	default:
		return false
	}
	return a.before < 1 || a.contended && a.before < sentAgain
}

// sendAgain tells whether the write, of which no vote was allowed, is sent again because its
// primary may have lost locks, and waits before. No storage has changed anything without the
// primary's vote.
func (v *voting) sendAgain(o stream.Outcome) bool {
	r := v.r
	if !o.Ended || o.Err == nil || !r.untouched(o) || o.ClientErr != nil {
		return false
	}
	a := attempt{code: status.Code(o.Err), took: time.Since(v.began), left: time.Until(r.until), contended: v.votes.Ordered(), before: r.again}
	if !lostLocks(a) {
		return false
	}
	timer := time.NewTimer(rand.N(againAfter))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-v.try.ctx.Done():
		return false
	}
	r.again++
	v.server.metrics.sentAgain.Inc()
	v.votes.Contended()
	return true
}
