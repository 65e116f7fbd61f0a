package storage

import (
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// verdict is what one health check tells of a storage.
type verdict int

const (
	well      verdict = iota
	slow              // it answers late, or badly
	silent            // it was asked and said nothing at all for too long
	late              // this process was paused or starved, and cannot judge
	undecided         // waiting was cut short, and something was heard
)

// patience is how long to wait for an answer to a health check when the storage
// was last heard so long ago: until the silence would be too long, but never
// so short that a storage could not answer, whatever came before.
func (c Config) patience(silence time.Duration) time.Duration {
	return min(c.ProbeTimeout, max(c.Silence-silence, c.Silence/10))
}

// judge tells what a health check says that ended with err after took, for
// which patience allowed timeout, when the storage was last heard silence ago.
func (c Config) judge(err error, took, timeout, silence time.Duration) verdict {
	switch {
	case err == nil:
		return well
	case status.Code(err) != codes.DeadlineExceeded:
		return slow
	case took > timeout+c.Silence/4:
		return late
	case silence >= c.Silence:
		return silent
	case took < c.ProbeTimeout:
		return undecided
	}
	return slow
}
