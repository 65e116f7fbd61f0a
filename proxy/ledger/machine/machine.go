package machine

import (
	"container/list"
	"slices"
	"time"

	"praefect/fsm/routing"
	"praefect/fsm/state"
)

// Config sets times and bounds. Zero values mean zero.
type Config struct {
	// Linger is how long an intent is kept after the last write under it.
	Linger time.Duration
	// QueueTimeout is how long a write waits at most for a primary, a repair or
	// a switchover.
	QueueTimeout time.Duration
	// QueueLimit is how many writes may wait at once, and QueueBytes how much
	// they may occupy (0: any amount). Waits for the ledger do not count.
	QueueLimit int
	QueueBytes int
	// LeaseWait is how long a write waits at most for a lease.
	LeaseWait time.Duration
	// VoteBound is how long the effect of a write that votes may still come after
	// its RPC was given up on this side: a storage that has got no answer to its vote
	// does nothing, and one that has got it does it at once.
	VoteBound time.Duration
	// RefuseConflicts has writes of a repository in conflict refused.
	RefuseConflicts bool
}

// Machine is the step machine of one instance. It belongs to its driver, one
// goroutine at a time.
type Machine struct {
	*facts
	intents *intents
	locks   *locks
	writes  *writes

	leased   bool // as of the last Step
	reported Report
}

// New makes a machine. It knows no view, no lease and no connection until
// events bring them.
func New(cfg Config) *Machine {
	facts := &facts{cfg: cfg, view: &state.State{}, alarm: never}
	intents := &intents{
		facts:     facts,
		repos:     make(map[state.Key]*repo),
		proposals: make(map[ProposalID]*proposal),
		lingering: list.New(),
		counts:    make(map[string]*counts),
		wishes:    make(map[state.Key]wished),
	}
	locks := &locks{facts: facts, intents: intents, guards: make(map[ID]*guard)}
	writes := &writes{
		facts: facts, intents: intents, locks: locks,
		all:       make(map[ID]*write),
		waiting:   list.New(),
		preparing: make(map[storageName]int),
	}
	return &Machine{facts: facts, intents: intents, locks: locks, writes: writes}
}

// Step lets the machine know of an event at now, which does not fall. The
// effects are valid until the next Step.
func (m *Machine) Step(now time.Duration, e Event) []Effect {
	m.now = max(m.now, now)
	m.effects = m.effects[:0]
	ended := m.endPauses()
	switch e := e.(type) {
	case Begin:
		m.writes.begin(e)
	case Cancel:
		m.writes.cancel(e.Write)
	case NotSent:
		m.writes.notSent(e)
	case Vote:
		m.writes.vote(e)
	case Ended:
		m.writes.ended(e)
	case View:
		m.see(e)
	case Session:
		m.hear(e)
	case Connections:
		m.connect(e.Storages)
		m.writes.reconsider(func(w *write) bool { return w.why == WhyUnreachable })
	case Answer:
		m.intents.answered(e)
	case Stop:
		m.stop()
	case Acquire:
		m.locks.acquire(e)
	case OpenIntent:
		m.locks.openForRepair(e)
	case Advance:
		m.locks.advanceFrom(e)
	// An event that is passed on as it came would be allocated, in every Step.
	case Declare:
		m.locks.conclude(e.Guard, e)
	case ResolveDoubt:
		m.locks.conclude(e.Guard, e)
	case MarkDoubt:
		m.locks.conclude(e.Guard, e)
	case EndAdvance:
		m.locks.conclude(e.Guard, e)
	case Conflict:
		m.locks.conclude(e.Guard, e)
	case Remake:
		m.locks.conclude(e.Guard, e)
	case StepDown:
		m.locks.conclude(e.Guard, e)
	case Wish:
		m.locks.wish(e)
	case Renew:
		m.locks.renew(e)
	case Resume:
		m.locks.resume(e.Guard)
	case Free:
		m.locks.free(e)
	}
	if leased := m.mayRoute(); leased != m.leased || ended {
		m.leased = leased
		m.writes.reconsider(everyWrite)
	}
	if m.now >= m.alarm {
		m.writes.expire()
		m.intents.endWishes()
	}
	m.flush()
	m.intents.closeDue()
	m.report()
	return m.effects
}

// Next is when the machine is to get a Tick at the latest; false if it waits
// for nothing but other events.
func (m *Machine) Next() (at time.Duration, ok bool) {
	at = m.alarm
	for _, h := range m.pauses {
		at = min(at, h.Until)
	}
	if front := m.intents.lingering.Front(); front != nil && !m.intents.closing {
		at = min(at, front.Value.(*repo).due(m.cfg.Linger))
	}
	return at, at != never
}

// View is the view by which the machine routes.
func (m *Machine) View() *state.State { return m.view }

// InFlight counts the writes that may have an effect, or may get one without
// waiting for anything but the ledger, and the intents kept.
func (m *Machine) InFlight() (writes, intents int) {
	for _, w := range m.writes.all {
		if w.registered {
			writes++
		}
	}
	for _, r := range m.intents.repos {
		if r.intent != absent {
			intents++
		}
	}
	return writes, intents
}

// Stopped reports whether everything has ended after a Stop.
func (m *Machine) Stopped() bool {
	return m.stopped && len(m.intents.proposals) == 0 && m.intents.lingering.Len() == 0
}

// stop closes the idle intents; the intents of writes that do not end stay, and are
// in doubt once this incarnation is retired.
func (m *Machine) stop() {
	m.stopped = true
	m.writes.rejectWaiting()
	m.intents.closeEarly(func(*repo) bool { return true })
}

// see takes a newer view. The writes that it dooms are doomed before the index is reported as
// applied: the leader, which waits for that report, may then give the role to another storage.
func (m *Machine) see(e View) {
	if e.Incarnation != 0 {
		m.incarnation = e.Incarnation
	}
	if e.State.Index <= m.view.Index {
		return
	}
	before := m.view
	m.view = e.State
	if m.incarnation != 0 && !m.retired && m.view.Instance(m.incarnation) == nil {
		m.writes.retire()
	}
	m.intents.heed()
	m.locks.giveTurns()
	if same(before.VirtualStorages, m.view.VirtualStorages) {
		m.writes.reconsider(func(w *write) bool { return w.why == WhyFenced && m.writes.changedSince(w, before) })
		return
	}
	m.writes.doomFenced()
	m.writes.reconsider(everyWrite)
}

// same reports whether two slices are one: states share the parts that did not change.
func same(a, b []state.VirtualStorage) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// hear takes the last message of the leader.
func (m *Machine) hear(e Session) {
	m.lease = e.Lease
	m.watermark = max(m.watermark, e.Watermark)
	was := m.pauses
	m.pauses = slices.DeleteFunc(slices.Clone(e.WritePauses), func(h routing.WritePause) bool { return h.Until <= m.now })
	if !slices.EqualFunc(was, m.pauses, samePause) {
		m.intents.closeEarly(func(r *repo) bool { return m.paused(r.key.VirtualStorage) })
		m.writes.reconsider(everyWrite)
		return
	}
	m.writes.reconsider(func(w *write) bool { return w.why == WhyWatermark && m.watermark >= w.need })
}

// flush looks at every repository that the Step has touched, until none is
// left: at the writes and the repair that wait for it, and at whether it is idle.
func (m *Machine) flush() {
	for i := 0; i < len(m.intents.toFlush); i++ {
		r := m.intents.toFlush[i]
		before := r.flush
		r.flush = none
		if before == serve {
			m.locks.serve(r)
			m.writes.serve(r)
		}
		m.intents.park(r)
	}
	clear(m.intents.toFlush)
	m.intents.toFlush = m.intents.toFlush[:0]
}

// report tells the leader the news.
func (m *Machine) report() {
	pauseReports := m.reported.PauseReports
	if len(m.pauses) > 0 || len(pauseReports) > 0 {
		pauseReports = nil
		for _, h := range m.pauses {
			c := m.intents.countsOf(h.VirtualStorage)
			preparing := m.writes.preparing[storageName{h.VirtualStorage, h.Leaving}] // of no storage: none
			pauseReports = append(pauseReports, routing.WritePauseReport{ID: h.ID, Applied: true, InFlight: c.inFlight + preparing, Intents: c.intents})
		}
	}
	if m.view.Index == m.reported.Applied && slices.Equal(pauseReports, m.reported.PauseReports) {
		return
	}
	m.reported = Report{Applied: m.view.Index, PauseReports: pauseReports}
	m.emit(m.reported)
}
