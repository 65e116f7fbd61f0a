package elector

import (
	"errors"
	"fmt"
	"time"

	"praefect/consensus/health"
	"praefect/consensus/lease"
	"praefect/fsm/routing"
	"praefect/fsm/state"
)

// Verb is the kind of an operator's request.
type Verb string

// The verbs.
const (
	Promote Verb = "promote"
	Drain   Verb = "drain"
)

// Request asks for a switchover.
type Request struct {
	// ID names it; a pause is named after it.
	ID             string
	Verb           Verb
	VirtualStorage string
	Storage        string
	// Epoch, if not 0, is the required epoch of the virtual storage.
	Epoch uint64
	// Force waits neither for copies nor for writes in flight.
	Force bool
	// CatchUpFor bounds the wait for copies, PauseFor the time that writes wait.
	CatchUpFor, PauseFor time.Duration
	By                   string
}

// Phase is where an operation is.
type Phase string

// The phases in their order. Until CutOver nothing has changed.
const (
	CatchUp      Phase = "catch-up"      // repositories are copied to the successor
	PauseWrites  Phase = "pause-writes"  // new writes wait, running ones end
	CutOver      Phase = "fence"         // the fence is proposed
	AwaitAdmit   Phase = "admit"         // the fence is agreed; Decide ends it
	ResumeWrites Phase = "resume-writes" // it is done
)

// Errors of an operation. All but ErrOvertaken say that nothing was changed.
var (
	// ErrRefused is wrapped in why an operation cannot be, or not now.
	ErrRefused = errors.New("refused")
	// ErrTimeout is wrapped in the name of the thing that was waited for too long.
	ErrTimeout = errors.New("it took too long")
	// ErrOvertaken: the fence was agreed, and then something else happened.
	ErrOvertaken = errors.New("the switchover was overtaken by events")
)

// Operation is one switchover under way. It is a value; Step returns the next.
type Operation struct {
	Request
	Phase Phase
	// Seen is the index of the state that it began in.
	Seen state.Index
	// Began is when it began, PausedSince when the pause did, 0 before.
	Began, PausedSince time.Duration
	// caughtUp is how far the search for repositories to wait for has come.
	caughtUp search
}

// Moment has the values that an operation depends on.
type Moment struct {
	Now    time.Duration
	View   *state.State
	Counts map[health.Name]health.Count
	Leases Leases
	// PauseReports is the last report of each instance about the pause, if it sent one.
	PauseReports map[state.Incarnation]routing.WritePauseReport
	// Fenced is the answer to the fence that was proposed; nil before it came.
	Fenced *state.Result
}

// Progress is for people.
type Progress struct {
	Phase Phase
	// Behind is how many repositories are waited for, InFlight how many writes.
	Behind, InFlight int
	// Waiting are the instances that are waited for.
	Waiting []state.Incarnation
}

// Begin checks a request. It returns the plan as an operation, and whether there
// is nothing to do.
func Begin(r Request, m Moment) (op Operation, already bool, err error) {
	op = Operation{Request: r, Phase: CatchUp, Seen: m.View.Index, Began: m.Now}
	vs := m.View.VirtualStorage(r.VirtualStorage)
	if vs == nil {
		return op, false, fmt.Errorf("%w: no virtual storage %q", ErrRefused, r.VirtualStorage)
	}
	s := vs.Storage(r.Storage)
	switch {
	case s == nil:
		return op, false, fmt.Errorf("%w: no storage %q in %q", ErrRefused, r.Storage, vs.Name)
	case r.Epoch != 0 && r.Epoch != vs.Epoch:
		return op, false, fmt.Errorf("%w: the epoch of %q is %d, not %d: look at the plan again", ErrRefused, vs.Name, vs.Epoch, r.Epoch)
	case len(vs.Fenced()) > 0:
		return op, false, fmt.Errorf("%w: %q is in the middle of another change", ErrRefused, vs.Name)
	case r.Verb == Drain && s.State == state.Out && s.Why == state.WhyDrained:
		return op, true, nil
	case r.Verb == Drain && s.State == state.Out:
		return op, false, nil
	case s.State != state.Serving:
		return op, false, fmt.Errorf("%w: %q is %s; only a storage that serves can be part of a switchover: praefectctl status shows when it serves", ErrRefused, s.Name, s.State)
	case r.Verb == Drain && !vs.ServesBeside(s.Name):
		return op, false, fmt.Errorf("%w: no other storage of %q serves", ErrRefused, vs.Name)
	case r.Verb == Promote && !m.Counts[name(vs, s.Name)].WellSince(0):
		return op, false, fmt.Errorf("%w: %q is not well at a majority of the instances: %s", ErrRefused, s.Name, m.Counts[name(vs, s.Name)].Why)
	case r.Verb == Promote && len(op.Passes(m.View)) == 0:
		return op, true, nil
	}
	return op, false, nil
}

func name(vs *state.VirtualStorage, storage string) health.Name {
	return health.Name{VirtualStorage: vs.Name, Storage: storage}
}

// Passes are the storages that are to be fenced: the ones that serve and stand
// before the one to promote, or the one to drain.
func (o Operation) Passes(view *state.State) []string {
	if o.Verb == Drain {
		return []string{o.Storage}
	}
	var passed []string
	for _, s := range view.VirtualStorage(o.VirtualStorage).Succession {
		if s.Name == o.Storage {
			break
		}
		if s.State == state.Serving {
			passed = append(passed, s.Name)
		}
	}
	return passed
}

// onlyOn tells whether no other storage could serve a repository that this one
// serves.
func onlyOn(vs *state.VirtualStorage, e *state.Entry, storage string) bool {
	here := false
	for s := range vs.InSync(e) {
		if s.Name != storage && s.State == state.Serving {
			return false
		}
		here = here || s.Name == storage
	}
	return here
}

// WritePauses tells whether new writes are to wait now, and for how long at most.
func (o Operation) WritePauses(now time.Duration) (lease.WritePause, bool) {
	if o.Phase != PauseWrites && o.Phase != CutOver && o.Phase != AwaitAdmit {
		return lease.WritePause{}, false
	}
	left := o.PausedSince + o.PauseFor - now
	pause := lease.WritePause{ID: o.ID, VirtualStorage: o.VirtualStorage, RemainingMillis: left.Milliseconds(), Serving: o.Verb == Promote}
	if o.Verb == Drain {
		pause.Leaving = o.Storage
	}
	return pause, left > 0
}

// Step goes on as far as it can. A command that it returns is proposed once, and
// its answer comes with the next Moment. The operation has ended when its phase is ResumeWrites, or
// with an error.
func (o Operation) Step(m Moment) (Operation, *state.Command, Progress, error) {
	vs := m.View.VirtualStorage(o.VirtualStorage)
	if vs == nil || vs.Storage(o.Storage) == nil {
		return o, nil, Progress{Phase: o.Phase}, fmt.Errorf("%w: the storage was removed", ErrOvertaken)
	}
	p := Progress{Phase: o.Phase}
	switch o.Phase {
	case CatchUp:
		o, p.Behind = o.waits(m.View)
		// A drain ends its wait under the pause: a repository that is written to
		// all the time is never anywhere else.
		if o.Force || p.Behind == 0 || o.Verb == Drain && m.Now >= o.Began+o.CatchUpFor {
			o.Phase, o.PausedSince = PauseWrites, m.Now
			break
		}
		if m.Now >= o.Began+o.CatchUpFor {
			return o, nil, p, fmt.Errorf("%w: %q still misses writes of %d repositories; --force leaves them to their present primary", ErrTimeout, o.Storage, p.Behind)
		}
	case PauseWrites:
		p.InFlight, p.Waiting = o.waiting(m)
		if o.Verb == Drain {
			o, p.Behind = o.waits(m.View)
		}
		if o.Force || p.InFlight == 0 && len(p.Waiting) == 0 && p.Behind == 0 {
			o.Phase = CutOver
			return o, o.fence(vs, m), p, nil
		}
		if m.Now >= o.PausedSince+o.PauseFor {
			return o, nil, p, fmt.Errorf("%w: after %v of pause there are %d writes under way, %d instances to wait for and %d repositories that nobody else has; --force does not wait",
				ErrTimeout, o.PauseFor, p.InFlight, len(p.Waiting), p.Behind)
		}
	case CutOver:
		if m.Fenced == nil {
			break
		}
		if m.Fenced.Refusal != nil {
			return o, nil, p, fmt.Errorf("%w: %w", ErrRefused, m.Fenced.Refusal)
		}
		o.Phase = AwaitAdmit
	case AwaitAdmit:
		if len(vs.Fenced()) > 0 {
			break // Decide admits them
		}
		if primary, ok := vs.Primary(nil); o.Verb == Promote && (!ok || primary.Name != o.Storage) {
			return o, nil, p, fmt.Errorf("%w: the primary is %q", ErrOvertaken, primary.Name)
		}
		o.Phase = ResumeWrites
	}
	p.Phase = o.Phase
	return o, nil, p, nil
}

// waiting counts the writes that have not ended, and names the instances that
// may write and have not said that they pause.
func (o Operation) waiting(m Moment) (inFlight int, waiting []state.Incarnation) {
	for _, in := range m.View.Instances {
		if !m.Leases.Leased(in.Incarnation, m.Now) {
			continue
		}
		r, ok := m.PauseReports[in.Incarnation]
		if !ok || r.ID != o.ID || !r.Applied || r.InFlight > 0 || r.Intents > 0 {
			waiting = append(waiting, in.Incarnation)
		}
		if ok && r.ID == o.ID {
			inFlight += r.InFlight
		}
	}
	return inFlight, waiting
}

// fence is the cut-over. A dead storage is not to be admitted as serving.
func (o Operation) fence(vs *state.VirtualStorage, m Moment) *state.Command {
	f := &state.Fence{VirtualStorage: vs.Name, Storages: o.Passes(m.View), Why: state.WhySwitchover, Epoch: vs.Epoch, By: o.By}
	if o.Verb == Drain {
		f.Why = state.WhyDrained
		if vs.Storage(o.Storage).State == state.Out {
			return &state.Command{Drain: &state.Drain{VirtualStorage: vs.Name, Storage: o.Storage, By: o.By}}
		}
	}
	return &state.Command{Fence: f}
}
