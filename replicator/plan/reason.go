package plan

import (
	"slices"
	"time"

	"praefect/fsm/state"
)

// Reason is the reason for which a repair waits. It is part of answers to operators and a label
// of a metric.
type Reason string

// The reasons. The first ones follow from the replicated state and the connections.
const (
	// LiveIntent: another instance may have a write under way.
	LiveIntent Reason = "live-intent"
	// DoubtBound: a write or copy of an unknown outcome may still have an effect.
	DoubtBound Reason = "in-doubt-intent"
	// NoSource: no storage that is in sync serves.
	NoSource Reason = "no-source"
	// SourceAway: the primary cannot be reached.
	SourceAway Reason = "source-away"
	// TargetAway: the storages that are behind cannot be reached.
	TargetAway Reason = "target-away"
	// TargetOut: the storages that are behind do not serve.
	TargetOut Reason = "target-not-serving"
	// Conflict: an operator has to choose between replicas.
	Conflict Reason = "conflict"
	// Advance: the primary is being copied onto.
	Advance Reason = "advance"
	// The others depend on the experience of the instance that repairs.

	// Write: a write of the instance that repairs is under way.
	Write Reason = "write"
	// PauseBudget: writes do not pause long enough; the next attempt makes them wait.
	PauseBudget Reason = "pause-budget"
	// Pool: the target lacks the object pool of the repository.
	Pool Reason = "pool"
	// Limit: as many repairs run as the settings permit, in all or onto the target.
	Limit Reason = "limit"
	// Failed: the last attempt failed; the next one comes after a delay.
	Failed Reason = "failed"
)

// Reasons are all of them.
var Reasons = []Reason{LiveIntent, DoubtBound, NoSource, SourceAway, TargetAway, TargetOut, Conflict, Advance, Write, PauseBudget, Pool, Limit, Failed}

// Waiting is the reason for which a repair waits, and for how long at most.
type Waiting struct {
	// Reason is empty if the repair waits for nothing.
	Reason Reason
	// Incarnation is the one whose intent it is, of LiveIntent and DoubtBound.
	Incarnation state.Incarnation
	// Storages are the storages that are waited for, in the order of the succession.
	Storages []string
	// Left is the time until the repair looks again; 0 if the end is not known.
	Left time.Duration
}

// noSource waits for the storages that are not behind and do not serve.
func (s Situation) noSource() Waiting {
	w := Waiting{Reason: NoSource}
	for i := range s.VS.Succession {
		if st := &s.VS.Succession[i]; st.State != state.Backfilling && !s.Entry.IsBehind(st.Name) {
			w.Storages = append(w.Storages, st.Name)
		}
	}
	return w
}

// liveIntent waits for the end of another instance's intent.
func (s Situation) liveIntent() Waiting {
	i := slices.IndexFunc(s.Entry.Intents, s.anothers)
	return Waiting{Reason: LiveIntent, Incarnation: s.Entry.Intents[i].Incarnation}
}

// doubtBound waits for the in-doubt intent whose bound passes first.
func (s Situation) doubtBound() Waiting {
	w := Waiting{Reason: DoubtBound}
	for i := range s.Entry.Intents {
		m := &s.Entry.Intents[i]
		if m.InDoubt == nil {
			continue
		}
		if left := s.Left(m.InDoubt); left > 0 && (w.Left == 0 || left < w.Left) {
			w.Incarnation, w.Left, w.Storages = m.Incarnation, left, m.InDoubt.Targets
		}
	}
	return w
}

// idle says why nothing can be done about storages that are behind: Idle and well if
// none is.
func (s Situation) idle() Waiting {
	var out, conflict []string
	for i := range s.VS.Succession {
		st := &s.VS.Succession[i]
		switch {
		case !s.Entry.IsBehind(st.Name):
		case s.Entry.InConflict(st.Name):
			conflict = append(conflict, st.Name)
		case st.State == state.Out || st.State == state.Fenced || st.Uncompared != "":
			out = append(out, st.Name)
		}
	}
	switch {
	case len(out) > 0:
		return Waiting{Reason: TargetOut, Storages: out}
	case len(conflict) > 0:
		return Waiting{Reason: Conflict, Storages: conflict}
	}
	return Waiting{}
}
