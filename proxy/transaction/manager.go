package transaction

import (
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"praefect/fsm/state"
	"praefect/proxy/transaction/quorum"
)

// Manager keeps the transactions under way at this instance. It is safe for
// concurrent use.
type Manager struct {
	incarnation func() state.Incarnation
	log         *slog.Logger
	metrics     *metrics
	born        time.Time
	accounts    sync.WaitGroup // accounts under way
	lateness    lateness
	order       order

	mu    sync.Mutex
	last  uint32                       // guarded by mu
	byID  map[uint64]*Transaction      // guarded by mu
	on    map[state.Key][]*Transaction // guarded by mu
	pairs map[[2]*Transaction]*pair    // contending ones; guarded by mu
}

// NewManager makes a manager. incarnation is this process's own; it must not
// block. Metrics are registered with r if that is not nil.
func NewManager(incarnation func() state.Incarnation, log *slog.Logger, r prometheus.Registerer) *Manager {
	return &Manager{
		incarnation: incarnation, log: log, metrics: newMetrics(r), born: time.Now(),
		byID: make(map[uint64]*Transaction), on: make(map[state.Key][]*Transaction),
		pairs: make(map[[2]*Transaction]*pair),
	}
}

// now is the time by the manager's own clock.
func (m *Manager) now() time.Duration { return time.Since(m.born) }

// Begin begins a transaction. The caller calls End, and Forget.
func (m *Manager) Begin(cfg Config) *Transaction {
	names := make([]string, len(cfg.Voters))
	var otherRelease []string
	for i, v := range cfg.Voters {
		names[i] = v.Storage
		if v.Release != cfg.Voters[0].Release {
			otherRelease = append(otherRelease, v.Storage)
		}
	}
	began := m.now()
	ordered := cfg.Repeatable && m.order.ordered(cfg.Keys, time.Now())
	t := &Transaction{
		manager: m, cfg: cfg, began: began, ordered: ordered,
		waiting: make(map[string]func(quorum.Answer)), turns: make(map[string]chan bool),
		votes: quorum.New(quorum.Config{Voters: names, OtherRelease: otherRelease, Copies: cfg.Copies, Block: cfg.Block, Began: began, VoteTimeout: cfg.VoteTimeout,
			Repeatable: cfg.Repeatable, Ordered: ordered}),
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	// ▲ driver-votes-ids-reused: An id is never used again, neither by another instance nor after a
	// restart: a storage that votes late must not vote in a write of others.
	for {
		m.last++
		if t.id = uint64(m.incarnation())<<32 | uint64(m.last); m.byID[t.id] == nil {
			break
		}
	}
	m.byID[t.id] = t
	for _, key := range cfg.Keys {
		if slices.ContainsFunc(m.on[key], (*Transaction).hasty) {
			t.votes.LocksGivenUp(began)
		}
		m.on[key] = append(m.on[key], t)
	}
	m.metrics.voters.WithLabelValues(cfg.Keys[0].VirtualStorage).Observe(float64(len(names)))
	return t
}

// Wait returns when no account is under way. It is called after
// every transaction has ended.
func (m *Manager) Wait() { m.accounts.Wait() }

// forget has no votes find the transaction any more.
func (m *Manager) forget(t *Transaction) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.byID, t.id)
}

// leave has the transaction stand in no other one's way any more.
func (m *Manager) leave(t *Transaction) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, key := range t.cfg.Keys {
		if m.on[key] = slices.DeleteFunc(m.on[key], func(o *Transaction) bool { return o == t }); len(m.on[key]) == 0 {
			delete(m.on, key)
		}
	}
	for _, pass := range t.lines {
		pass()
	}
	for both, p := range m.pairs {
		if both[0] == t || both[1] == t {
			p.timer.Stop()
			delete(m.pairs, both)
		}
	}
}

func (m *Manager) find(id uint64) *Transaction {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.byID[id]
}
