package monitor

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"praefect/fsm/condition"
	"praefect/fsm/reachability"
	"praefect/fsm/state"
)

const (
	// interval is the least time between two looks of Run.
	interval = 2 * time.Second
	// share bounds the cost of looking: a look that takes long is followed by a pause of this
	// many times its length.
	share = 20
	// exchangeTimeout bounds the wait for the leader's conditions.
	exchangeTimeout = 500 * time.Millisecond
	// remembered is how long the report of another instance counts.
	remembered = 10 * time.Second
)

// Deps are the dependencies of a Monitor.
type Deps struct {
	// View is the replicated state as this instance has applied it.
	View func() *state.State
	// Observation has the known facts of the way to a storage. It makes no call, and takes no time.
	Observation func(vs, storage string) reachability.Observation
	// RejoinsIn is the time until a storage that was dead serves again, if it is known; nil for never.
	RejoinsIn func(vs, storage string) (time.Duration, bool)
	// Facts are all facts but the virtual storages. It makes no call, and takes no time.
	Facts func() condition.Facts
	// Copies is how many storages must have a write, by the settings.
	Copies int
	// Exchange tells the leader this instance's conditions, and returns the leader's. It is called
	// only while another instance leads; nil: there is no other instance.
	Exchange func(ctx context.Context, own []condition.Condition) ([]condition.Condition, error)
	// Log gets the lines; nil for none.
	Log *slog.Logger
	// Now is the clock; nil for time.Now.
	Now func() time.Time
}

// Monitor knows the conditions. Its methods may be called from any goroutine.
type Monitor struct {
	deps Deps

	looking   sync.Mutex // held by a look of Run
	shortages shortages  // only Run, with looking
	alarms    alarms     // only Run, with looking

	mu     sync.Mutex
	short  map[string]shortage // guarded by mu; by virtual storage, of the last look
	last   []condition.Condition
	others map[string]said // guarded by mu; what the other instances said, at the leader
	leader said            // guarded by mu; what the leader said, elsewhere
}

// said is the report of another instance, and its time.
type said struct {
	at   time.Time
	list []condition.Condition
}

// New makes a Monitor.
func New(deps Deps) *Monitor {
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	return &Monitor{deps: deps, others: make(map[string]said)}
}

// Run looks every interval until ctx ends.
func (m *Monitor) Run(ctx context.Context) error {
	for {
		began := m.deps.Now()
		m.Look(ctx)
		select {
		case <-time.After(max(interval, share*m.deps.Now().Sub(began))):
		case <-ctx.Done():
			return nil
		}
	}
}

// Look judges once, and logs the conditions that began or ended since the look before.
func (m *Monitor) Look(ctx context.Context) {
	m.looking.Lock()
	defer m.looking.Unlock()
	short := m.shortages.look(m.deps.View(), m.deps.Copies, m.deps.Now())
	m.mu.Lock()
	m.short = short
	m.mu.Unlock()
	own, all := m.judge(ctx)
	m.alarms.log(ctx, m.deps.Log, own, m.deps.Now())
	m.mu.Lock()
	m.last = all
	m.mu.Unlock()
}

// Conditions are the conditions of the moment, the leader's among them.
func (m *Monitor) Conditions(ctx context.Context) []condition.Condition {
	_, all := m.judge(ctx)
	return all
}

// Last are the conditions of the last look. It makes no call.
func (m *Monitor) Last() []condition.Condition {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.last)
}

// Receive takes the report of another instance on itself, and returns the conditions that this one, the leader, knows.
func (m *Monitor) Receive(from string, list []condition.Condition) []condition.Condition {
	own := condition.Judge(m.facts())
	m.mu.Lock()
	defer m.mu.Unlock()
	m.others[from] = said{m.deps.Now(), list}
	return condition.Merge(append([][]condition.Condition{own}, m.heard()...)...)
}

// judge returns the conditions that this instance finds by itself, and these together with the reported ones.
func (m *Monitor) judge(ctx context.Context) (own, all []condition.Condition) {
	facts := m.facts()
	own = condition.Judge(facts)
	switch {
	case facts.Leader == "":
		return own, own
	case facts.Leader == facts.Instance || m.deps.Exchange == nil:
		m.mu.Lock()
		defer m.mu.Unlock()
		return own, condition.Merge(append([][]condition.Condition{own}, m.heard()...)...)
	}
	bounded, cancel := context.WithTimeout(ctx, exchangeTimeout)
	defer cancel()
	theirs, err := m.deps.Exchange(bounded, own)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err == nil {
		m.leader = said{m.deps.Now(), theirs}
	} else {
		m.deps.Log.DebugContext(ctx, "exchange conditions with the leader", "err", err)
	}
	if m.deps.Now().Sub(m.leader.at) > remembered {
		m.leader = said{}
	}
	return own, condition.Merge(own, m.leader.list)
}

// heard are the conditions that the other instances have told lately. Caller holds mu.
func (m *Monitor) heard() [][]condition.Condition {
	maps.DeleteFunc(m.others, func(_ string, s said) bool { return m.deps.Now().Sub(s.at) > remembered })
	var lists [][]condition.Condition
	for _, name := range slices.Sorted(maps.Keys(m.others)) {
		lists = append(lists, m.others[name].list)
	}
	return lists
}
