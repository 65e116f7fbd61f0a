package session

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"praefect/consensus/elector"
	"praefect/consensus/health"
	"praefect/fsm/state"
)

// Errors of Switch, besides the errors of package elector.
var (
	// ErrNotLeading: only the leader can do it; nothing was changed.
	ErrNotLeading = errNotLeading
	// ErrSwitchoverRunning: another switchover is under way; nothing was changed.
	ErrSwitchoverRunning = errors.New("another switchover is under way")
	// ErrCanceled: it was given up in time; nothing was changed.
	ErrCanceled = errors.New("given up before the cut-over")
	// ErrUnknown: the fence may be agreed. If it is, the next leader carries the
	// switchover to its end.
	ErrUnknown = errors.New("the outcome of the switchover is not known")
)

// Plan is the effect of a switchover.
type Plan struct {
	// Already tells that there is nothing to do.
	Already bool
	Epoch   uint64
	// Primary is the present one, empty if there is none; Successor the one
	// afterwards.
	Primary, Successor string
	// Fenced are the storages that are fenced on the way.
	Fenced []string
	// Outlook counts the repositories that it concerns.
	elector.Outlook
	WritePause time.Duration
}

// Outcome is how a switchover ended.
type Outcome struct {
	Plan Plan
	// Epoch and Primary are the values afterwards.
	Epoch   uint64
	Primary string
	// Paused is the time from the pause until writes resume.
	Paused time.Duration
}

// run is one switchover under way. It is guarded by term.mu.
type run struct {
	op       elector.Operation
	plan     Plan
	progress elector.Progress
	fenced   *state.Result
	unknown  error
	given    bool // up, by every asker
	askers   int

	outcome Outcome
	err     error
	done    chan struct{}
	moved   chan struct{} // closed at each progress
}

// cutOver takes the answer to the fence.
func (r *run) cutOver(a answer) {
	if a.err != nil || len(a.results) == 0 {
		r.unknown = a.err
		return
	}
	r.fenced = &a.results[0]
}

// Plan tells the effect of a switchover; it changes nothing.
func (s *Session) Plan(r elector.Request) (Plan, error) {
	t := s.term()
	if t == nil {
		return Plan{}, ErrNotLeading
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	_, plan, err := t.plan(s.request(r))
	return plan, err
}

func (s *Session) request(r elector.Request) elector.Request {
	setDefault(&r.CatchUpFor, s.cfg.CatchUp)
	setDefault(&r.PauseFor, s.cfg.WritePause)
	return r
}

// plan begins an operation without carrying it out. Caller holds mu.
func (t *term) plan(r elector.Request) (elector.Operation, Plan, error) {
	now, view := t.s.cfg.Now(), t.s.node.View()
	_, voters := t.s.members()
	op, already, err := elector.Begin(r, t.known.Moment(now, view, t.known.Counts(now, voters), r.ID))
	if err != nil {
		return op, Plan{}, err
	}
	vs := view.VirtualStorage(r.VirtualStorage)
	plan := Plan{Already: already, Epoch: vs.Epoch, Outlook: op.Outlook(view), WritePause: r.PauseFor, Successor: r.Storage}
	if primary, ok := vs.Primary(nil); ok {
		plan.Primary = primary.Name
	}
	if !already {
		plan.Fenced = op.Passes(view)
	}
	if r.Verb == elector.Drain {
		plan.Successor = plan.Primary
		for s := range vs.InSync(nil) {
			if s.Name != r.Storage && s.State == state.Serving {
				plan.Successor = s.Name
				break
			}
		}
		if plan.Primary != r.Storage {
			plan.Successor = plan.Primary
		}
	}
	return op, plan, nil
}

// Switch carries out a switchover, if this instance leads; one goes on at a
// time. The same request again joins the one under way, or learns how the last
// one ended. progress is called now and then, from this goroutine. When ctx ends
// the switchover is given up if there is still time: then the error wraps
// ErrCanceled.
func (s *Session) Switch(ctx context.Context, request elector.Request, progress func(Plan, elector.Progress)) (Outcome, error) {
	t := s.term()
	if t == nil {
		return Outcome{}, ErrNotLeading
	}
	r, err := t.begin(s.request(request))
	if err != nil {
		return Outcome{}, err
	}
	left := context.AfterFunc(ctx, func() { t.leave(r) })
	defer left()
	for {
		t.mu.Lock()
		p, moved := r.progress, r.moved
		t.mu.Unlock()
		progress(r.plan, p)
		select {
		case <-moved:
		case <-r.done:
			return r.outcome, r.err
		}
	}
}

// begin starts a switchover, or finds the one of that request.
func (t *term) begin(request elector.Request) (*run, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.isOver():
		return nil, ErrNotLeading
	case t.running != nil && t.running.op.ID == request.ID:
		t.running.askers++
		return t.running, nil
	case t.running != nil:
		return nil, fmt.Errorf("%w: %s %s", ErrSwitchoverRunning, t.running.op.Verb, t.running.op.Storage)
	case t.last != nil && t.last.op.ID == request.ID:
		return t.last, nil
	}
	op, plan, err := t.plan(request)
	if err != nil {
		return nil, err
	}
	r := &run{op: op, plan: plan, askers: 1, done: make(chan struct{}), moved: make(chan struct{}), progress: elector.Progress{Phase: op.Phase}}
	t.running = r
	if plan.Already {
		t.finish(r, nil)
	}
	t.look()
	return r, nil
}

func (t *term) isOver() bool {
	select {
	case <-t.ended:
		return true
	default:
		return false
	}
}

// leave notes that one asker has given up; the last one gives the run up.
func (t *term) leave(r *run) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r.askers--
	r.given = r.askers <= 0
	t.look()
}

// advance goes on with the switchover, if there is one. It reports whether there
// is something new to tell the instances. Caller holds mu.
func (t *term) advance(ctx context.Context, proposals *sync.WaitGroup, now time.Duration, view *state.State, counts map[health.Name]health.Count) bool {
	r := t.running
	if r == nil {
		return false
	}
	early := r.op.Phase == elector.CatchUp || r.op.Phase == elector.PauseWrites
	switch {
	case r.given && early:
		t.finish(r, ErrCanceled)
		return true
	case r.unknown != nil:
		t.finish(r, fmt.Errorf("%w: %w", ErrUnknown, r.unknown))
		return true
	case early && t.proposing != nil:
		return false // the fence could not be proposed now
	}
	before, m := r.op.Phase, t.known.Moment(now, view, counts, r.op.ID)
	m.Fenced = r.fenced
	next, command, progress, err := r.op.Step(m)
	r.op = next
	if before != elector.PauseWrites && next.Phase == elector.PauseWrites {
		t.known.ForgetPauses()
	}
	if command != nil {
		t.cutOver = true
		t.propose(ctx, proposals, []state.Command{*command})
	}
	if !equal(progress, r.progress) {
		r.progress = progress
		close(r.moved)
		r.moved = make(chan struct{})
	}
	if err != nil || next.Phase == elector.ResumeWrites {
		t.finish(r, err)
	}
	return r.op.Phase != before || err != nil
}

func equal(a, b elector.Progress) bool {
	return a.Phase == b.Phase && a.Behind == b.Behind && a.InFlight == b.InFlight && len(a.Waiting) == len(b.Waiting)
}

// finish ends a switchover. Caller holds mu.
func (t *term) finish(r *run, err error) {
	r.err = err
	r.outcome = Outcome{Plan: r.plan}
	if r.op.PausedSince > 0 {
		r.outcome.Paused = t.s.cfg.Now() - r.op.PausedSince
	}
	if vs := t.s.node.View().VirtualStorage(r.op.VirtualStorage); vs != nil {
		r.outcome.Epoch = vs.Epoch
		if primary, ok := vs.Primary(nil); ok {
			r.outcome.Primary = primary.Name
		}
	}
	close(r.done)
	t.running, t.last = nil, r
}

// drop ends the operation under way when the term is over.
func (t *term) drop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.running
	if r == nil {
		return
	}
	if r.op.Phase == elector.CatchUp || r.op.Phase == elector.PauseWrites {
		t.finish(r, fmt.Errorf("%w any more: the switchover was given up before the cut-over", errNotLeading))
		return
	}
	t.finish(r, fmt.Errorf("%w: leadership was lost after the cut-over had begun; the next leader carries it to its end", ErrUnknown))
}
