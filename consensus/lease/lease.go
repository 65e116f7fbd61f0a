package lease

import (
	"time"

	"praefect/fsm/state"
)

// Margin is by how much a leader outwaits a lease of that length, and by how
// much its holder stops early: 1 % for clocks that differ in rate, and 50 ms for
// the time between reading a clock and acting on it.
func Margin(length time.Duration) time.Duration { return length/100 + 50*time.Millisecond }

// Lease allows an instance to route. The zero value allows nothing.
type Lease struct {
	// Until is when it ends, by the holder's clock, margin taken off.
	Until time.Duration
	// Index is the view that is needed to use it.
	Index state.Index
}

// Valid tells whether an instance that routes by the view of that index may do
// so now.
func (l Lease) Valid(now time.Duration, view state.Index) bool {
	return now < l.Until && view >= l.Index // ▲ lease-older-view: a grant is used once the routing view is there
}

// Left is how long the lease still lasts, 0 if it does not.
func (l Lease) Left(now time.Duration) time.Duration { return max(0, l.Until-now) }

// Grant is the part of a FromLeader about the lease.
type Grant struct {
	// For is the number of the ask that was granted.
	For uint64
	// Index is the index that the leader had applied.
	Index state.Index
	// Length is that of the lease before any margin.
	Length time.Duration
}

// Grant returns the grant in a message; its For is 0 if there is none.
func (m *FromLeader) Grant() Grant {
	return Grant{For: m.GrantFor, Index: m.GrantIndex, Length: time.Duration(m.LeaseMillis) * time.Millisecond}
}
