package ledger

import (
	"context"
	"time"

	"praefect/fsm/state"
)

// proposeTimeout bounds the wait for a mark. Past it the outcome is unknown.
const proposeTimeout = 10 * time.Second

// mark makes this instance's solo mark live on every one of repos, wide enough
// for scope, and has cmds applied behind it, in one batch with it where it was
// not (live is false then). It returns a view at or after all of that. The caller has a
// write or a ticket on each of them, so none of the marks closes meanwhile.
func (l *Ledger) mark(ctx context.Context, repos []*repo, scope state.Scope, cmds func(view *state.State, live bool) []state.Command) (*state.State, error) {
	l.mu.Lock()
	for {
		// A close that was proposed comes first: an open that overtook it would
		// be undone by it.
		closing := firstClosing(repos)
		if closing == nil {
			break
		}
		l.mu.Unlock()
		select {
		case <-closing:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		l.mu.Lock()
	}
	covered := true
	for _, r := range repos {
		covered = covered && r.live && covers(r.scope, scope)
	}
	l.mu.Unlock()

	view := l.node.View()
	batch := cmds(view, covered)
	if covered && len(batch) == 0 {
		return view, nil
	}
	if !covered {
		open := state.OpenMark{VirtualStorage: repos[0].key.VirtualStorage, Kind: state.Solo, Scope: scope}
		for _, r := range repos {
			open.Paths = append(open.Paths, r.key.RelativePath)
		}
		batch = append([]state.Command{{Open: &open}}, batch...)
	}
	// A client that hangs up now must not leave the outcome unknown: it would
	// cost a settlement, and the answer is a moment away.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), proposeTimeout)
	defer cancel()
	results, err := l.node.Propose(ctx, batch...)
	if err != nil {
		if !covered {
			// The mark may be there or not. It counts as live, and as dirty, so
			// that it is closed and settled if it is.
			l.opened(repos, scope, true)
		}
		return nil, err
	}
	if !covered {
		if refusal := results[0].Refusal; refusal != nil {
			return nil, refusal
		}
		l.opened(repos, scope, false)
	}
	for _, result := range results {
		if result.Refusal != nil {
			return nil, result.Refusal
		}
	}
	return l.node.View(), nil
}

func firstClosing(repos []*repo) chan struct{} {
	for _, r := range repos {
		if r.closing != nil {
			return r.closing
		}
	}
	return nil
}

// opened records that a mark of scope was applied (or may have been).
func (l *Ledger) opened(repos []*repo, scope state.Scope, unknown bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range repos {
		if r.live {
			r.scope = union(r.scope, scope)
		} else {
			r.live, r.scope = true, scope
		}
		r.dirty = r.dirty || unknown
	}
}
