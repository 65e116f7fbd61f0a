package machine

import (
	"time"

	"praefect/fsm/state"
)

// Config sets times and bounds. Zero values mean zero.
type Config struct {
	// Linger is how long a mark is kept after the last write under it.
	Linger time.Duration
	// HoldTimeout is how long a write waits at most to be forwarded.
	HoldTimeout time.Duration
	// HoldLimit is how many writes may wait at once, and HoldBytes how much
	// they may occupy (0: any amount). Waits for the ledger do not count.
	HoldLimit int
	HoldBytes int
	// LeaseWait is how long a write waits at most for a lease.
	LeaseWait time.Duration
}

// Machine is the step machine of one incarnation. It belongs to its driver,
// one goroutine at a time.
type Machine struct {
	cfg Config
	inc state.Incarnation
}

// New makes a machine for the writes of an incarnation. It knows no view, no
// lease and no connection until events bring them.
func New(inc state.Incarnation, cfg Config) *Machine {
	return &Machine{cfg: cfg, inc: inc}
}
