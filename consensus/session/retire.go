package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"praefect/fsm/state"
)

// ErrRetireUnknown is an error of Retire: the instance may be retired, or not; to ask again does no
// harm.
var ErrRetireUnknown = errors.New("the outcome of the retirement is not known")

// silentSince is since when incarnations were not heard of, as leaders told lately.
func (s *Session) silentSince(now time.Duration) map[state.Incarnation]time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.holder.SilentSince(now)
}

// Retire retires the instance of that name or id, if this instance leads: an operator, named
// by by, says that its process is gone. It returns when that is applied, which takes until the lease of
// the instance must have ended, and the number of incarnations that it retired. Its other errors
// are ErrNotLeading and the errors of elector.Term.DeclareGone.
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
	gone, err := t.known.DeclareGone(now, view, t.s.node.Incarnation(), name, by)
	t.dirty = true
	t.look()
	return gone, err
}
