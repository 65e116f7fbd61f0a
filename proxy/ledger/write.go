package ledger

import (
	"context"
	"slices"
	"strings"
	"time"

	"praefect/fsm/state"
)

// Write is one write in flight, on one repository or on two of one virtual
// storage. It belongs to the goroutine of its request.
type Write struct {
	ledger *Ledger
	repos  []*repo
}

// Begin registers a write as in flight on keys. Only then may the caller read
// the view and route it: a repair that declares a storage in sync afterwards
// knows of the write. It waits while a repair holds the gate.
//
// The caller calls End exactly once, whatever happens.
func (l *Ledger) Begin(ctx context.Context, keys []state.Key) (*Write, error) {
	// Sorted, so that two writes of the same two repositories cannot wait for
	// each other's.
	keys = slices.Clone(keys)
	slices.SortFunc(keys, func(a, b state.Key) int { return strings.Compare(a.RelativePath, b.RelativePath) })
	w := &Write{ledger: l}
	for _, key := range slices.Compact(keys) {
		if err := l.enter(ctx, w, key); err != nil {
			w.End(true)
			return nil, err
		}
	}
	return w, nil
}

// enter counts w on one repository, after its gate has opened.
func (l *Ledger) enter(ctx context.Context, w *Write, key state.Key) error {
	var timeout <-chan time.Time
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		r := l.get(key)
		gate := r.ticket.admit()
		if gate == nil {
			r.writes++
			l.stir(r)
			w.repos = append(w.repos, r)
			return nil
		}
		if timeout == nil {
			if l.held >= l.cfg.HoldLimit {
				return ErrHeld
			}
			timer := time.NewTimer(l.cfg.HoldTimeout)
			defer timer.Stop()
			timeout = timer.C
		}
		l.held++
		l.mu.Unlock()
		var err error
		select {
		case <-gate:
		case <-timeout:
			err = ErrHeld
		case <-ctx.Done():
			err = ctx.Err()
		}
		l.mu.Lock()
		l.held--
		if err != nil {
			return err
		}
	}
}

// Account is what a solo write must have in the ledger before it is forwarded.
type Account struct {
	// Scope bounds what the write can do.
	Scope state.Scope
	// Primary and Epoch are its route.
	Primary string
	Epoch   uint64
	// Deleted is set for deletes and creates.
	Deleted state.DeletedChange
}

// Prepare commits the mark of a solo write and, unless the ledger already says
// so, that every storage but the primary is behind. When it returns nil the
// write may be forwarded to the primary. A *state.Refusal means that the
// agreed state has changed: route anew. After any other error the write must
// not be forwarded either; what may have been committed is settled later.
// changed tells that storages became behind by it.
func (w *Write) Prepare(ctx context.Context, a Account) (changed bool, err error) {
	l := w.ledger
	_, err = l.mark(ctx, w.repos, a.Scope, func(view *state.State, live bool) []state.Command {
		// Beside a fresh mark the account costs nothing; and until the mark is
		// applied another instance may still remove what the ledger says.
		if live && w.accounted(view, a) {
			return nil
		}
		changed = true
		wrote := state.Wrote{
			VirtualStorage: w.repos[0].key.VirtualStorage,
			Primary:        a.Primary,
			Epoch:          a.Epoch,
			Agreeing:       []string{a.Primary},
			Deleted:        a.Deleted,
		}
		for _, r := range w.repos {
			wrote.Paths = append(wrote.Paths, r.key.RelativePath)
		}
		return []state.Command{{Wrote: &wrote}}
	})
	if err == nil {
		l.cfg.Step("after-wrote")
	}
	return changed, err
}

// accounted tells whether the view has already all that the write would say:
// the same primary, and every other storage behind. The write is registered,
// so no repair of this instance removes that before it ends, and its live mark
// keeps every other instance from doing so.
func (w *Write) accounted(view *state.State, a Account) bool {
	vs := view.VirtualStorage(w.repos[0].key.VirtualStorage)
	if vs == nil {
		return false
	}
	for _, r := range w.repos {
		entry := view.Entry(r.key)
		if entry == nil {
			return false
		}
		if p, ok := vs.Primary(entry); !ok || p.Name != a.Primary || p.FencedEpoch > a.Epoch {
			return false
		}
		if a.Deleted == state.DeletedSet && !entry.Deleted || a.Deleted == state.DeletedClear && entry.Deleted {
			return false
		}
		for i := range vs.Succession {
			if name := vs.Succession[i].Name; name != a.Primary && !entry.IsBehind(name) {
				return false
			}
		}
	}
	return true
}

// End ends the write. ended tells that its RPC has ended at every storage that
// it was forwarded to (the status arrived from there), or that it was never
// forwarded; otherwise an effect may still come, and the marks end dirty.
func (w *Write) End(ended bool) {
	l := w.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range w.repos {
		r.writes--
		r.dirty = r.dirty || !ended && r.live
		if r.writes == 0 && r.drained != nil {
			close(r.drained)
			r.drained = nil
		}
		l.settleDown(r, false)
	}
	w.repos = nil
}
