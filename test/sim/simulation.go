package sim

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"praefect/fsm/state"
)

// virtualStorage is the one of a schedule.
const virtualStorage = "default"

// simulation is everything of one schedule.
type simulation struct {
	seed   uint64
	rand   *rand.Rand
	now    time.Duration // the true time
	seq    uint64
	agenda agenda
	events int64
	out    io.Writer // of the trace; nil: none

	setup      setup
	cluster    string // its id
	edited     []bool // whose settings have the storage that is added on the way, by instance
	paths      []string
	net        *network
	instances  []*instance
	storages   []*storage
	postgres   *postgres
	history    *history
	check      *check
	cov        *Coverage
	requests   int
	asked      int  // by operators
	replacing  bool // an operator has not done yet with an instance
	lulls      lulls
	quiet      bool // the faults are over
	quietSince time.Duration
	underway   []*request // of clients
	over       bool       // the schedule ends here, and is not broken
	failure    error
	// ruining draws the facts about ruined replicas; nil: there are none.
	ruining *rand.Rand
	// backups draws for operators that restore storages.
	backups *rand.Rand
}

// failf ends the schedule: a promise is broken.
func (w *simulation) failf(format string, args ...any) {
	if w.failure == nil {
		w.failure = fmt.Errorf(format, args...)
		w.tracef("FAILED: "+format, args...)
	}
}

// tracef writes a line of the trace.
func (w *simulation) tracef(format string, args ...any) {
	if w.out != nil {
		fmt.Fprintf(w.out, "%10.4f  %s\n", w.now.Seconds(), fmt.Sprintf(format, args...))
	}
}

// trace2 writes the content of the log.
func (w *simulation) trace2(index state.Index, e entry, c state.Command, r state.Result) {
	if w.out == nil {
		return
	}
	text, err := json.Marshal(c)
	if err != nil {
		text = []byte(err.Error())
	}
	outcome := "applied"
	if r.Refusal != nil {
		outcome = r.Refusal.Error()
	}
	w.tracef("log %d, term %d, by %d: %s: %s", index, e.term, e.batch.Incarnation, text, outcome)
}

// moment draws how long a process takes between two instructions: mostly no
// time at all.
func (w *simulation) moment() time.Duration {
	switch {
	case w.setup.starved && w.chance(0.02):
		return w.between(0, 400*time.Millisecond)
	case w.chance(0.02):
		return w.between(0, 3*time.Millisecond)
	}
	return w.between(0, 50*time.Microsecond)
}

func (w *simulation) storage(name string) *storage {
	for _, s := range w.storages {
		if s.name == name {
			return s
		}
	}
	return nil
}
