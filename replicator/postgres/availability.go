package postgres

import (
	"log/slog"
	"sync"
	"time"
)

// availability remembers whether the database could be used the last time, and logs each change once.
type availability struct {
	log *slog.Logger

	mu    sync.Mutex
	known bool      // guarded by mu: false before the first call has ended
	up    bool      // guarded by mu
	since time.Time // guarded by mu
	// served is when a call was last served. Guarded by mu.
	served time.Time
	why    error // guarded by mu: why the last call was not served
	// whole tells that the tables of the schema were there once. Guarded by mu.
	whole bool
}

func newAvailability(log *slog.Logger) *availability { return &availability{log: log} }

// note takes the end of a call that began at that time: nil if the database served it. That it can be used from the start
// is no change, nor is it that calls come before the schema is there for the first time: its migration is under way. A failure
// of a call that began before another one was served tells of an outage that may be over.
func (a *availability) note(began time.Time, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	up := err == nil
	switch {
	case up:
		a.served = time.Now()
	case !a.served.IsZero() && began.Before(a.served):
		return
	}
	a.why = err
	if !a.whole && notMigrated(err) {
		return
	}
	if a.known && up == a.up {
		return
	}
	lasted, first := time.Since(a.since), !a.known
	a.known, a.up, a.since = true, up, time.Now()
	switch {
	case !up:
		a.log.Warn("postgres is unavailable: repair waits, requests go on", "err", err)
	case !first:
		a.log.Info("postgres is available again", "after", lasted.Round(time.Millisecond).String())
	}
}

// hasTables notes that the tables of the schema are there.
func (a *availability) hasTables() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.whole = true
}

// away says why the database cannot be used, empty if it can or if no call has ended yet.
func (a *availability) away() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.known || a.up || a.why == nil {
		return ""
	}
	return a.why.Error()
}

// available says whether the last call was served.
func (a *availability) available() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.up
}
