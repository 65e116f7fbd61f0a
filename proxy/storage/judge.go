package storage

import (
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// probeResult is the result of one health check of a storage.
type probeResult int

const (
	well      probeResult = iota
	slow                  // it answers late, or badly
	stalled               // it said nothing at all for a while, but its host answers
	silent                // it was asked and said nothing at all for too long
	late                  // this process was paused or starved, and cannot judge
	undecided             // waiting was cut short, and something was heard
)

// bound is how long the storage may say nothing at all, when its host was last heard
// so long ago. A host that is cut off or has lost its power acknowledges nothing. One
// that acknowledges may have so much to do that the process gets no time for an
// answer: a failover would take a living storage away, and give its work to others.
func (c Config) bound(host time.Duration) time.Duration {
	if host < c.Silence {
		return c.Stall
	}
	return c.Silence
}

// answerTimeout is how long to wait for an answer to a health check when the storage
// was last heard so long ago: until the silence reaches bound, but never
// so short that a storage could not answer, even after a long silence.
func (c Config) answerTimeout(silence, bound time.Duration) time.Duration {
	return min(c.ProbeTimeout, max(bound-silence, c.Silence/10))
}

// judge tells the result of a health check that ended with err after took, for
// which answerTimeout allowed timeout, when the storage was last heard silence ago and
// may be silent for bound.
func (c Config) judge(err error, took, timeout, silence, bound time.Duration) probeResult {
	switch {
	case err == nil:
		return well
	case status.Code(err) != codes.DeadlineExceeded:
		return slow
	case took > timeout+c.Silence/4:
		return late
	case silence >= bound:
		return silent
	case silence >= c.Silence:
		return stalled
	case took < c.ProbeTimeout:
		return undecided
	}
	return slow
}
