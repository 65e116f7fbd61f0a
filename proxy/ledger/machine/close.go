package machine

import (
	"time"

	"praefect/fsm/state"
)

// closeBatch bounds how many intents one proposal closes.
const closeBatch = 256

// closeRetry is the shortest time between two attempts to close an intent.
const closeRetry = time.Second

// closeDue proposes to close the intents that have been idle long enough, clean
// and in-doubt ones together. There is one such proposal at a time, so that they
// gather while it is under way. An intent counts as closed from here on: a write
// that comes waits for the answer, and opens a new one. (▲ machine-write-beside-close)
func (is *intents) closeDue() {
	if is.closing {
		return
	}
	var repos []*repo
	var commands []state.Command
	for front := is.lingering.Front(); front != nil && len(repos) < closeBatch; front = is.lingering.Front() {
		r := front.Value.(*repo)
		if r.due(is.cfg.Linger) > is.now {
			break
		}
		is.unpark(r)
		r.intent = absent
		repos = append(repos, r)
		commands = append(commands, state.Command{Close: &state.CloseIntent{
			VirtualStorage: r.key.VirtualStorage, Paths: []string{r.key.RelativePath}, InDoubt: r.inDoubt, Doubt: r.doubt,
		}})
	}
	if len(repos) == 0 {
		return
	}
	is.closing = true
	is.propose(repos, commands, func(a Answer) {
		is.closing = false
		for _, r := range repos {
			is.closed(r, a.Err == nil)
		}
	})
}

// closed ends the closes that closeDue began. A refused close is of an intent that is not
// there. Without an answer the intent may still be there: it counts as live, and
// as in doubt, and is closed again after a while; or, if we stop, by the retirement
// of this incarnation. Or it is gone, or goes in a moment: no write relies on it.
func (is *intents) closed(r *repo, answered bool) {
	if answered || is.stopped {
		r.inDoubt, r.doubt, r.distrusted, r.kind, r.scope, r.openedAt = false, nil, false, "", state.Scope{}, 0
		return
	}
	r.intent, r.inDoubt = unsure, true
	r.retryAt = is.now + max(is.cfg.Linger, closeRetry)
}
