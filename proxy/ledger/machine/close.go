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
func (m *Machine) closeDue() {
	if m.closing {
		return
	}
	var repos []*repo
	var commands []state.Command
	for front := m.lingering.Front(); front != nil && len(repos) < closeBatch; front = m.lingering.Front() {
		r := front.Value.(*repo)
		if r.due(m.cfg.Linger) > m.now {
			break
		}
		m.unpark(r)
		r.live = false
		repos = append(repos, r)
		commands = append(commands, state.Command{Close: &state.CloseIntent{
			VirtualStorage: r.key.VirtualStorage, Paths: []string{r.key.RelativePath}, InDoubt: r.inDoubt, Doubt: r.doubt,
		}})
	}
	if len(repos) == 0 {
		return
	}
	m.closing = true
	m.propose(repos, commands, func(a Answer) {
		m.closing = false
		for _, r := range repos {
			m.closed(r, a.Err == nil)
		}
	})
}

// closed ends the closes that closeDue began. A refused close is of an intent that is not
// there. Without an answer the intent may still be there: it counts as live, and
// as in doubt, and is closed again after a while; or, if we stop, by the retirement
// of this incarnation. Or it is gone, or goes in a moment: no write relies on it.
func (m *Machine) closed(r *repo, answered bool) {
	if answered || m.stopped {
		r.inDoubt, r.doubt, r.distrusted, r.scope, r.primaryOnly, r.openedAt = false, nil, false, state.Scope{}, false, 0
		return
	}
	r.live, r.inDoubt, r.unsure = true, true, true
	r.retryAt = m.now + max(m.cfg.Linger, closeRetry)
}
