// Package ledgertest has stand-ins for the node, the session and the storages of a ledger. It
// promises the behaviour of an instance that is alone in its cluster. Tests and benchmarks use it.
package ledgertest

import (
	"math"
	"time"

	"praefect/fsm/routing"
	"praefect/fsm/state"
)

// Alone is the Session of an instance that is always leased, and after which
// every instance has applied every entry.
type Alone struct {
	start   time.Time
	changed chan struct{}
}

// NewAlone makes an Alone.
func NewAlone() *Alone { return &Alone{start: time.Now(), changed: make(chan struct{})} }

// Now is the time since NewAlone.
func (a *Alone) Now() time.Duration { return time.Since(a.start) }

// Lease never ends.
func (a *Alone) Lease() routing.Lease { return routing.Lease{Until: math.MaxInt64} }

// Watermark is beyond every index.
func (a *Alone) Watermark() state.Index { return math.MaxUint64 }

// WritePauses are none.
func (a *Alone) WritePauses() []routing.WritePause { return nil }

// Changed is never closed.
func (a *Alone) Changed() <-chan struct{} { return a.changed }

// Report goes nowhere.
func (a *Alone) Report(state.Index, []routing.WritePauseReport) {}
