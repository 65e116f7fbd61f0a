package sim

import (
	"time"

	"praefect/fsm/state"
)

// history is the log as it was committed, and the states that it leads to.
// Every instance applies the same, so that it is computed once; that it is the
// same is checked.
type history struct {
	w       *simulation
	entries []entry
	states  []*state.State // after each entry
	results [][]state.Result
	config  *configuration           // the latest one that is committed
	removed map[string]time.Duration // when it was committed that an instance is no member, by its id
}

// last is the state that the newest committed entry known to any instance leads to.
func (h *history) last() *state.State {
	if len(h.states) == 0 {
		return &state.State{}
	}
	return h.states[len(h.states)-1]
}

// known checks that every live instance knows all that the entry says.
func (h *history) known(s *state.State, at int, b state.Batch) {
	for i := range s.Instances {
		if in := &s.Instances[i]; in.FeatureLevel() < b.Version {
			h.w.failf("entry %d needs feature level %d, and %s knows %d", at, b.Version, in.Name, in.FeatureLevel())
		}
	}
	if b.Version > state.CommandVersion {
		h.w.cov.RaisedBatches++
	}
}

// reconfigured notes the changes by a committed configuration.
func (h *history) reconfigured(e entry) {
	c := e.config
	for _, s := range h.config.servers {
		if !c.has(s.index) && e.recovered == nil {
			h.w.cov.Removals++
			h.removed[h.w.instances[s.index].id] = h.w.now
		}
	}
	for _, i := range c.voters() {
		h.w.cov.Joins += btoi(!h.config.votes(i))
	}
	h.config = c
	h.w.check.quorum()
}

// replace makes a log the only history: all other committed entries are lost. It returns the state
// that the log leads to, and how many entries are lost.
func (h *history) replace(log []entry) (last *state.State, lost int) {
	same := 0
	for same < min(len(log), len(h.entries)) && h.entries[same] == log[same] {
		same++
	}
	lost = len(h.entries) - same
	h.entries, h.states, h.results = h.entries[:same:same], h.states[:same:same], h.results[:same:same]
	for i, e := range log[same:] {
		s, results := h.last(), []state.Result(nil)
		if e.batch != nil {
			b := *e.batch
			b.EntryTerm = e.term
			s, results = s.Apply(state.Index(same+i+1), b)
		}
		h.entries, h.states, h.results = append(h.entries, e), append(h.states, s), append(h.results, results)
	}
	return h.last(), lost
}

// apply returns the state after the entry at a place of the log, from 1.
func (h *history) apply(at int, e entry) (*state.State, []state.Result) {
	if at <= len(h.entries) {
		if h.entries[at-1] != e {
			h.w.failf("the log has two entries at %d", at)
		}
		return h.states[at-1], h.results[at-1]
	}
	if at != len(h.entries)+1 {
		h.w.failf("entry %d is applied after entry %d", at, len(h.entries))
		return h.last(), nil
	}
	before := h.last()
	after, results := before, []state.Result(nil)
	if e.batch != nil {
		b := *e.batch
		b.EntryTerm = e.term
		h.known(before, at, b)
		after, results = before.Apply(state.Index(at), b)
	}
	if e.recovered != nil {
		after = e.recovered
	}
	h.entries, h.states, h.results = append(h.entries, e), append(h.states, after), append(h.results, results)
	if e.config != nil {
		h.reconfigured(e)
	}
	if e.batch != nil {
		h.w.checkState(before, after, e, results)
	}
	return after, results
}
