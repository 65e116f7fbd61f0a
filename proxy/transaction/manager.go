package transaction

import (
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"praefect/fsm/state"
	"praefect/proxy/transaction/ballot"
)

// contention is how long two writes may wait for each other before one of them
// is aborted.
const contention = 100 * time.Millisecond

// Manager keeps the transactions under way at this instance. It is safe for
// concurrent use.
type Manager struct {
	incarnation func() state.Incarnation
	log         *slog.Logger
	metrics     *metrics
	born        time.Time
	accounts    sync.WaitGroup // calls of Config.Account

	mu   sync.Mutex
	last uint32                          // guarded by mu
	byID map[uint64]*Transaction         // guarded by mu
	on   map[state.Key][]*Transaction    // guarded by mu
	pair map[[2]*Transaction]*time.Timer // contending ones; guarded by mu
}

// NewManager makes a manager. incarnation is this process's own; it must not
// block. Metrics are registered with r if that is not nil.
func NewManager(incarnation func() state.Incarnation, log *slog.Logger, r prometheus.Registerer) *Manager {
	return &Manager{
		incarnation: incarnation, log: log, metrics: newMetrics(r), born: time.Now(),
		byID: make(map[uint64]*Transaction), on: make(map[state.Key][]*Transaction),
		pair: make(map[[2]*Transaction]*time.Timer),
	}
}

// now is the time by the manager's own clock.
func (m *Manager) now() time.Duration { return time.Since(m.born) }

// Begin begins a transaction. The caller calls End.
func (m *Manager) Begin(cfg Config) *Transaction {
	names := make([]string, len(cfg.Voters))
	for i, v := range cfg.Voters {
		names[i] = v.Storage
	}
	t := &Transaction{
		manager: m, cfg: cfg, waiting: make(map[string]chan ballot.Answer),
		ballot: ballot.New(ballot.Config{Voters: names, Copies: cfg.Copies, Block: cfg.Block, Began: m.now()}),
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	// ▲ An id is never used again, neither by another instance nor after a restart: a
	// storage that votes late must not vote in a write of others.
	for {
		m.last++
		if t.id = uint64(m.incarnation())<<32 | uint64(m.last); m.byID[t.id] == nil {
			break
		}
	}
	m.byID[t.id] = t
	for _, key := range cfg.Keys {
		m.on[key] = append(m.on[key], t)
	}
	m.metrics.voters.WithLabelValues(cfg.Keys[0].VirtualStorage).Observe(float64(len(names)))
	return t
}

// Wait returns when no call of a Config.Account is under way. It is called after
// every transaction has ended.
func (m *Manager) Wait() { m.accounts.Wait() }

func (m *Manager) forget(t *Transaction) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.byID, t.id)
	for _, key := range t.cfg.Keys {
		if m.on[key] = slices.DeleteFunc(m.on[key], func(o *Transaction) bool { return o == t }); len(m.on[key]) == 0 {
			delete(m.on, key)
		}
	}
	for pair, timer := range m.pair {
		if pair[0] == t || pair[1] == t {
			timer.Stop()
			delete(m.pair, pair)
		}
	}
}

func (m *Manager) find(id uint64) *Transaction {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.byID[id]
}

// contend looks whether the transaction, which got a vote, waits for another one
// that waits for it, and has one of them aborted if that lasts.
func (m *Manager) contend(t *Transaction) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, key := range t.cfg.Keys {
		for _, other := range m.on[key] {
			if other == t || !contending(t, other) {
				continue
			}
			pair := [2]*Transaction{t, other}
			if pair[0].id > pair[1].id {
				pair[0], pair[1] = pair[1], pair[0]
			}
			if m.pair[pair] == nil {
				m.pair[pair] = time.AfterFunc(contention, func() { m.resolve(pair) })
			}
		}
	}
}

// resolve aborts the younger of two transactions if they still contend.
func (m *Manager) resolve(pair [2]*Transaction) {
	m.mu.Lock()
	delete(m.pair, pair)
	m.mu.Unlock()
	if !contending(pair[0], pair[1]) {
		return
	}
	m.log.Info("two writes of a repository waited for each other, one is aborted",
		"virtual_storage", pair[1].cfg.Keys[0].VirtualStorage, "relative_path", pair[1].cfg.Keys[0].RelativePath, "transaction", pair[1].id)
	m.metrics.contended.Inc()
	pair[1].abort()
}

// contending looks at two ballots, whose locks it takes in the order of their ids.
func contending(a, b *Transaction) bool {
	if a.id > b.id {
		a, b = b, a
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	return ballot.Contend(a.ballot, b.ballot)
}
