package state

import (
	"fmt"
	"time"
)

// Bounds of the length of a lease. A longer one would make the cluster wait too long
// for an instance that fell silent, a shorter one could not be renewed in time.
const (
	DefaultLease = time.Second
	MinLease     = 100 * time.Millisecond
	MaxLease     = 3 * time.Second
)

// LeaseLength returns how long a lease lasts: D in the documents. It is the same
// for ever.
func (s *State) LeaseLength() time.Duration {
	if s.LeaseMillis == 0 {
		return DefaultLease
	}
	return time.Duration(s.LeaseMillis) * time.Millisecond
}

// badLease describes the fault of the length of a lease, 0 standing for the
// default.
func badLease(millis int64) string {
	if millis != 0 && (millis < MinLease.Milliseconds() || millis > MaxLease.Milliseconds()) {
		return fmt.Sprintf("a lease of %d ms, not of %d to %d", millis, MinLease.Milliseconds(), MaxLease.Milliseconds())
	}
	return ""
}
