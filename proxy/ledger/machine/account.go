package machine

import (
	"fmt"
	"slices"
	"time"

	"praefect/fsm/state"
)

// account is the command that makes every storage behind that does not agree with the primary, in
// any state. (▲ vote-forgets-the-out)
func (w *write) account(deleted state.DeletedChange) state.Command {
	return state.Command{MarkBehind: &state.MarkBehind{
		VirtualStorage: w.keys[0].VirtualStorage,
		Paths:          w.paths(),
		Primary:        w.route.Primary,
		Epoch:          w.route.Epoch,
		Agreeing:       w.agreed(),
		Deleted:        deleted,
	}}
}

// paths are the relative paths of the repositories of the write.
func (w *write) paths() []string {
	var paths []string
	for _, key := range w.keys {
		paths = append(paths, key.RelativePath)
	}
	return paths
}

// agreed are the storages that have the write, or will. ▲ vote-dropped-agrees: A dropped storage is
// not among them, even if it agreed before: it may serve again, without the write.
func (w *write) agreed() []string {
	if !w.route.Votes {
		return []string{w.route.Primary}
	}
	return slices.DeleteFunc(slices.Clone(w.agreeing), func(name string) bool { return !w.sentTo(name) })
}

// intent is the kind and scope of the intent that the write needs.
func (w *write) intent(voteBound time.Duration) (state.IntentKind, state.Scope) {
	kind, scope := state.PrimaryOnly, w.scope
	scope.Targets = []string{w.first}
	if w.route.Votes {
		kind, scope.BoundMillis = state.Open, voteBound.Milliseconds() // ▲ vote-intent-without-bound
		for _, d := range w.others {
			scope.Targets = append(scope.Targets, d.Storage) // ▲ vote-intent-without-targets
		}
	}
	return kind, scope
}

// commit passes a write that has the entries in the ledger that it must have before it has an
// effect: an intent that covers it, and an account by which every storage that does not agree is
// behind. Otherwise it proposes them, after the answer to a proposal that is under way.
//
// The write is routed again once the intent is applied. From there on no other
// instance declares a storage in sync. (▲ machine-accounts-once, machine-primary-only-unaccounted,
// vote-without-intent)
func (ws *writes) commit(w *write) phase {
	for _, r := range w.on() {
		if r.busy {
			return ws.wait(w, WhyProposal, r)
		}
	}
	kind, scope := w.intent(ws.cfg.VoteBound)
	covered := true
	for _, r := range w.on() {
		covered = covered && r.covered(kind, scope)
	}
	// Beside a fresh intent the account costs nothing; and until the intent is
	// applied another instance may still remove the entries of the ledger.
	if covered && (w.route.Votes || ws.accounted(w)) { // of one that votes see accountedFor
		return pass
	}
	var commands []state.Command
	if !covered {
		commands = append(commands, state.Command{Open: &state.OpenIntent{
			VirtualStorage: w.keys[0].VirtualStorage, Paths: w.paths(), Kind: kind, Scope: scope,
		}})
	}
	deleted := state.DeletedKeep
	if w.deletes {
		deleted = state.DeletedSet
	}
	if !w.route.Votes || !ws.agreed(w) {
		commands = append(commands, w.account(deleted))
	}
	ws.leave(w)
	w.proposing = true
	ws.intents.propose(append([]*repo(nil), w.on()...), commands, func(a Answer) {
		w.proposing = false
		ws.committed(w, !covered, kind, scope, a)
	})
	return w.phase
}

// committed goes on with a write whose intent and account have an answer.
func (ws *writes) committed(w *write, opens bool, kind state.IntentKind, scope state.Scope, a Answer) {
	results := a.Results
	var refusal *state.Refusal
	if opens {
		at := state.Index(0) // the intent may be there or not: it is closed and resolved if it is
		if a.Err == nil {
			at, refusal = results[0].Index, results[0].Refusal
			results = results[1:]
		}
		for _, r := range w.on() {
			if refusal == nil {
				r.opened(kind, scope, at)
			}
		}
	}
	if a.Err == nil && refusal == nil && len(results) > 0 { // the account
		if refusal = results[0].Refusal; refusal == nil {
			w.changed = true
			for _, r := range w.on() {
				r.distrusted = false
			}
		}
	}
	switch {
	case w.phase == over: // it has ended meanwhile
	case w.phase == abandoned:
		ws.enter(w, over)
	case w.route.Votes && w.phase <= sent: // it goes another way
	case a.Err != nil:
		ws.enter(w, ws.refuse(w, a.Err))
	case refusal == nil:
		ws.advance(w)
	case refusal.Reason == state.RefusedRetired:
		ws.enter(w, ws.refuse(w, refusal))
	default: // the agreed state has changed
		if w.attempts++; w.attempts >= routeAttempts {
			ws.enter(w, ws.refuse(w, fmt.Errorf("%w: %w", ErrRerouted, refusal)))
			return
		}
		ws.advance(w)
	}
}

// accounted tells whether the view has already all that the write would say:
// every other storage is behind. The write is registered, so that no repair of
// this instance removes that before it ends, and its live intent keeps every
// other instance from doing so.
func (ws *writes) accounted(w *write) bool {
	vs := ws.view.VirtualStorage(w.keys[0].VirtualStorage)
	for _, r := range w.on() {
		// ▲ machine-unsure-conclusion: The view may still have entries that an earlier conclusion
		// of ours takes back: only an account after it counts.
		if r.distrusted {
			return false
		}
		entry := ws.view.Entry(r.key)
		if entry == nil || w.deletes && !entry.Deleted {
			return false
		}
		for i := range vs.Succession {
			if name := vs.Succession[i].Name; name != w.route.Primary && !entry.IsBehind(name) {
				return false
			}
		}
	}
	return true
}
