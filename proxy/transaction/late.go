package transaction

import (
	"sync"
	"time"
)

// lateFor is for how long a storage that kept a write waiting in vain, for all the time
// there is, is given no more than the grace. After that a write waits for it again: so a
// storage that is slow costs its clients that wait once in a while, and not with each write.
const lateFor = 30 * time.Second

// lateness remembers the storages that kept a write waiting in vain. There are no more
// than the configuration names.
type lateness struct {
	mu    sync.Mutex
	until map[[2]string]time.Duration // by virtual storage and storage; guarded by mu
}

// late notes storages that were not in time.
func (m *Manager) late(virtualStorage string, storages []string) {
	if len(storages) == 0 {
		return
	}
	m.lateness.mu.Lock()
	defer m.lateness.mu.Unlock()
	if m.lateness.until == nil {
		m.lateness.until = make(map[[2]string]time.Duration)
	}
	for _, name := range storages {
		m.lateness.until[[2]string{virtualStorage, name}] = m.now() + lateFor
	}
}

// wasLate tells whether a storage was not in time lately.
func (m *Manager) wasLate(virtualStorage, storage string) bool {
	m.lateness.mu.Lock()
	defer m.lateness.mu.Unlock()
	return m.now() < m.lateness.until[[2]string{virtualStorage, storage}]
}
