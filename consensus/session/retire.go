package session

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"praefect/fsm/state"
)

// Errors of Retire, besides ErrNotLeading.
var (
	// ErrNoInstance: no registered instance has that name or id.
	ErrNoInstance = errors.New("no such instance")
	// ErrAlive: the instance was heard of a moment ago, or leads.
	ErrAlive = errors.New("the instance is there")
	// ErrRetireUnknown: it may be retired, or not; to ask again does no harm.
	ErrRetireUnknown = errors.New("the outcome of the retirement is not known")
)

// silenceKept is for how long the report of a leader on silent incarnations counts. A later
// leader may have heard of them since.
const silenceKept = 10 * time.Second

// silentSince is since when incarnations were not heard of, as leaders told lately.
func (s *Session) silentSince(now time.Duration) map[state.Incarnation]time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now-s.toldAt > silenceKept {
		return nil
	}
	return s.silent // replaced, never changed
}

// Retire retires the instance of that name or id, if this instance leads: an operator, named
// by by, says that its process is gone. It returns when that is applied, which takes until the lease of
// the instance must have ended, and the number of incarnations that it retired. An
// instance that was heard of lately is refused.
func (s *Session) Retire(ctx context.Context, name, by string) (int, error) {
	t := s.term()
	if t == nil {
		return 0, ErrNotLeading
	}
	gone, err := t.declareGone(name, by)
	if err != nil {
		return 0, err
	}
	for {
		changed := s.node.Changed()
		view := s.node.View()
		if !slices.ContainsFunc(gone, func(inc state.Incarnation) bool { return view.Instance(inc) != nil }) {
			return len(gone), nil
		}
		select {
		case <-changed:
		case <-t.ended:
			return 0, fmt.Errorf("%w: leadership was lost", ErrRetireUnknown)
		case <-ctx.Done():
			return 0, fmt.Errorf("%w: %w", ErrRetireUnknown, context.Cause(ctx))
		}
	}
}

// declareGone notes that the instance is gone; the elector retires it.
func (t *term) declareGone(name, by string) ([]state.Incarnation, error) {
	now, view := t.s.cfg.Now(), t.s.node.View()
	t.mu.Lock()
	defer t.mu.Unlock()
	gone := make(map[state.Incarnation]bool)
	for _, in := range view.Instances {
		if in.Name != name && in.ID != name {
			continue
		}
		if in.Incarnation == t.s.node.Incarnation() {
			return nil, fmt.Errorf("%w: %q leads", ErrAlive, name)
		}
		if heard, ok := t.grantor.LastReceived(in.Incarnation); ok && now-heard < lately {
			return nil, fmt.Errorf("%w: %q was heard of %v ago; stop its process first", ErrAlive, name, (now - heard).Round(time.Millisecond))
		}
		gone[in.Incarnation] = true
	}
	if len(gone) == 0 {
		return nil, fmt.Errorf("%w: %q", ErrNoInstance, name)
	}
	maps.Copy(t.gone, gone)
	t.dirty = true
	for inc := range gone {
		t.goneBy[inc] = by
	}
	t.look()
	return slices.Sorted(maps.Keys(gone)), nil
}

// sayWho names the operator in the retirements that an operator asked for. Caller holds mu.
func (t *term) sayWho(commands []state.Command) {
	for i := range commands {
		if r := commands[i].Retire; r != nil && r.Proof == state.ProofOperator {
			r.By = t.goneBy[r.Incarnation]
		}
	}
}
