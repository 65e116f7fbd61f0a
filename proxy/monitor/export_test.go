package monitor

import (
	"time"

	"praefect/fsm/state"
)

// What tests need to know.
const (
	Tracked         = tracked
	Remembered      = remembered
	ExchangeTimeout = exchangeTimeout
)

// Shortages is the memory of repositories with too few copies.
type Shortages struct{ shortages }

// Count looks, and returns the count of the virtual storage "default".
func (s *Shortages) Count(view *state.State, copies int, now time.Time) int {
	return s.look(view, copies, now)["default"].count
}

// Len is how many repositories are remembered.
func (s *Shortages) Len() int { return len(s.since) }
