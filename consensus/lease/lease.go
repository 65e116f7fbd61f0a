package lease

import (
	"time"

	"praefect/fsm/state"
)

// Margin is by how much a leader outwaits a lease of that length, and by how
// much its holder stops early: 1 % for clocks that differ in rate, and 50 ms for
// the time between reading a clock and acting on it.
func Margin(length time.Duration) time.Duration { return length/100 + 50*time.Millisecond }

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
