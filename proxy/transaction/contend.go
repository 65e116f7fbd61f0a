package transaction

import (
	"time"

	"praefect/proxy/transaction/quorum"
)

// pair are two writes of one repository that wait for each other, the older one
// first.
type pair struct {
	of    [2]*Transaction
	since time.Duration // when either got its last vote
	timer *time.Timer   // looks again
}

// contend looks whether the transaction, which got a vote, waits for another one
// that waits for it, and has one of them aborted if that lasts.
//
// Half a grace without a vote for either is enough of a sign: a storage that is
// busy takes its time too. It leaves the older one the time to get its locks before
// a storage gives up waiting for them (Gitaly has git wait for one reference for
// 1 s), or a whole grace is over, and that storage is left behind.
func (m *Manager) contend(t *Transaction) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, key := range t.cfg.Keys {
		for _, other := range m.on[key] {
			both := [2]*Transaction{t, other}
			if other.id < t.id {
				both = [2]*Transaction{other, t}
			}
			if other == t || m.pairs[both] != nil {
				continue
			}
			if p := look(both); p != nil {
				m.pairs[both] = p
				p.timer = time.AfterFunc(m.deadlockTimeout(both), func() { m.resolve(p) })
			}
		}
	}
}

// deadlockTimeout is how long two writes may wait for each other.
func (m *Manager) deadlockTimeout(both [2]*Transaction) time.Duration {
	return quorum.Grace(m.now()-both[1].began) / 2
}

// resolve ends the wait of two transactions that still contend, and of which neither has
// got a vote: one that lacks the primary's locks gives up the locks that it has. If neither
// can, the younger one is aborted.
func (m *Manager) resolve(p *pair) {
	m.mu.Lock()
	if m.pairs[p.of] != p {
		m.mu.Unlock()
		return // one of them has ended
	}
	now := look(p.of)
	if now != nil {
		if left := now.since + m.deadlockTimeout(p.of) - m.now(); left > 0 {
			p.timer.Reset(left)
			m.mu.Unlock()
			return
		}
	}
	delete(m.pairs, p.of)
	m.mu.Unlock()
	if now == nil {
		return
	}
	m.ordered(p.of[1].cfg.Keys)
	if p.of[1].yield() || p.of[0].yield() {
		return
	}
	younger := p.of[1]
	m.log.Info("two writes of a repository waited for each other, one is aborted",
		"virtual_storage", younger.cfg.Keys[0].VirtualStorage, "relative_path", younger.cfg.Keys[0].RelativePath, "transaction", younger.id)
	m.metrics.contended.Inc()
	younger.abort()
}

// look returns the pair if the two contend now. It takes their locks in the order
// of their ids.
func look(both [2]*Transaction) *pair {
	for _, t := range both {
		t.mu.Lock()
		defer t.mu.Unlock()
	}
	if !quorum.Contend(both[0].votes, both[1].votes) {
		return nil
	}
	return &pair{of: both, since: max(both[0].voted, both[1].voted)}
}
