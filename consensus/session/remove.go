package session

import (
	"context"

	"praefect/consensus/elector"
)

// Remove takes a storage, or with an empty name the virtual storage, out of the state, if this
// instance leads; dry only looks whether it may. An error is ErrNotLeading, one of elector.Removal
// or the state's refusal, after which nothing has changed, or that of the proposal.
func (s *Session) Remove(ctx context.Context, virtualStorage, storage, by string, dry bool) error {
	t := s.term()
	if t == nil {
		return ErrNotLeading
	}
	t.mu.Lock()
	command, err := elector.Removal(s.node.View(), t.known.Reports, virtualStorage, storage, by)
	t.mu.Unlock()
	if err != nil || dry {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, proposeTimeout)
	defer cancel()
	results, err := s.node.ProposeAs(ctx, t.Term, command)
	if err != nil {
		return err
	}
	if refusal := results[0].Refusal; refusal != nil {
		return refusal
	}
	return nil
}
