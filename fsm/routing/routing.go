// Package routing has the values by which the session of an instance tells its ledger whether and how to
// route requests, and the ledger answers. The packages on both sides import it.
package routing

import (
	"time"

	"praefect/fsm/state"
)

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

// WritePause advises to keep the new writes of a virtual storage waiting.
type WritePause struct {
	ID             string
	VirtualStorage string
	// Serving tells that every storage serves on after the pause, if none dies: a
	// write that votes may be sent meanwhile, and waits with its first vote.
	Serving bool
	// Leaving is the storage that does not serve any more after the pause, empty if
	// there is none. The writes whose status is that storage's end before.
	Leaving string
	// Until is when it ends by itself, by the clock of the leases.
	Until time.Duration
}

// WritePauseReport tells how far an instance is with a pause.
type WritePauseReport struct {
	ID string `json:"id"`
	// Applied tells that new writes wait.
	Applied bool `json:"applied"`
	// InFlight counts the writes of the virtual storage that may still have an
	// effect, Intents the repositories covered by an intent for writes.
	InFlight int `json:"in_flight"`
	Intents  int `json:"intents"`
}
