package transaction

import (
	"context"
	"slices"
	"time"

	"praefect/fsm/state"
	"praefect/proxy/transaction/quorum"
)

// Turn waits until the call of a storage may be sent, for the first time in an ordered
// write, or again after the storage has given its locks up. It reports false if the call
// is not sent: then its end is the end of the storage's part.
func (t *Transaction) Turn(ctx context.Context, storage string) bool {
	turn := make(chan bool, 1)
	t.step(func(now time.Duration) []quorum.Effect {
		if t.ended {
			turn <- false
			return nil
		}
		t.turns[storage] = turn
		return t.votes.Ready(now, storage)
	})
	select {
	case run := <-turn:
		return run
	case <-ctx.Done():
		t.Leave(storage)
		return false
	}
}

// Once says that the call of a storage cannot be sent again.
func (t *Transaction) Once(storage string) {
	t.step(func(time.Duration) []quorum.Effect { return t.votes.Once(storage) })
}

// Ordered tells that no call is to be sent but the primary's before its Turn.
func (t *Transaction) Ordered() bool { return t.ordered }

// turned answers the Turn under way. Caller holds mu.
func (t *Transaction) turned(storage string, run bool) {
	if turn := t.turns[storage]; turn != nil {
		delete(t.turns, storage)
		turn <- run
	}
}

// orders tells the other writes of the repository the news of the votes of this one: that
// a storage gave its locks up, and that it did so rightly.
func (m *Manager) orders(t *Transaction) {
	t.mu.Lock()
	hasty, contended := t.votes.Hasty() && !t.hurried, t.votes.Contended() && !t.contended
	t.hurried, t.contended = t.hurried || hasty, t.contended || contended
	t.mu.Unlock()
	if hasty {
		for _, key := range t.cfg.Keys {
			for _, other := range m.beside(key) {
				other.step(other.votes.LocksGivenUp)
			}
		}
	}
	if contended {
		m.ordered(t.cfg.Keys)
	}
}

// Contended says that the primary gave up waiting for locks which other writes had: the
// writes of the repositories are ordered from now on.
func (t *Transaction) Contended() { t.manager.ordered(t.cfg.Keys) }

// ordered has the writes of repositories ordered from now on.
func (m *Manager) ordered(keys []state.Key) {
	for _, key := range keys {
		m.mu.Lock()
		underWay := m.on[key]
		for n, leave := range m.order.contended(key, time.Now(), len(underWay)) {
			underWay[n].lines = append(underWay[n].lines, leave)
		}
		m.mu.Unlock()
	}
}

// beside are the writes under way on a repository.
func (m *Manager) beside(key state.Key) []*Transaction {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.on[key])
}

// hasty tells that locks of the repository are given up at once.
func (t *Transaction) hasty() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.votes.Hasty()
}
