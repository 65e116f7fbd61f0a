package machine

import (
	"container/list"
	"time"

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
	cfg     Config
	now     time.Duration // of the Step under way
	effects []Effect      // of the Step under way

	// The facts that events have brought.
	view        *state.State
	incarnation state.Incarnation
	lease       Lease
	watermark   state.Index
	pauses      []WritePause // the ones that have not ended
	connections map[storageName]*Connection
	leased      bool // as of the last Step
	retired     bool
	stopped     bool

	// Work under way.
	repos        map[state.Key]*repo
	writes       map[ID]*write
	guards       map[ID]*guard
	proposals    map[ProposalID]*proposal
	lastProposal ProposalID
	toFlush      []*repo // looked at before the Step ends

	waiting *list.List // of *write; see wait
	counted int        // the writes of waiting that count towards the limits
	bytes   int        // the memory that they occupy
	alarm   time.Duration
	scratch []*write

	wishes map[state.Key]wished

	lingering *list.List // of *repo with an idle intent, the longest idle first
	closing   bool       // a proposal of closes is under way

	counts map[string]*counts // by virtual storage
	// preparing counts, by the storage whose status the client gets, the writes that
	// were sent and have had no vote decided yet.
	preparing map[storageName]int
	reported  Report
}

type storageName struct{ virtualStorage, storage string }

// never is an instant that does not come.
const never = time.Duration(1<<63 - 1)

// New makes a machine. It knows no view, no lease and no connection until
// events bring them.
func New(cfg Config) *Machine {
	return &Machine{
		cfg:       cfg,
		view:      &state.State{},
		repos:     make(map[state.Key]*repo),
		writes:    make(map[ID]*write),
		guards:    make(map[ID]*guard),
		proposals: make(map[ProposalID]*proposal),
		waiting:   list.New(),
		alarm:     never,
		lingering: list.New(),
		counts:    make(map[string]*counts),
		preparing: make(map[storageName]int),
		wishes:    make(map[state.Key]wished),
	}
}

// Step lets the machine know of an event at now, which does not fall. The
// effects are valid until the next Step.
func (m *Machine) Step(now time.Duration, e Event) []Effect {
	m.now = max(m.now, now)
	m.effects = m.effects[:0]
	ended := m.endPauses()
	switch e := e.(type) {
	case Begin:
		m.begin(e)
	case Cancel:
		m.cancel(e.Write)
	case NotSent:
		m.notSent(e)
	case Vote:
		m.vote(e)
	case Ended:
		m.ended(e)
	case View:
		m.see(e)
	case Session:
		m.hear(e)
	case Connections:
		m.reached(e.Storages)
	case Answer:
		m.answered(e)
	case Stop:
		m.stop()
	case Acquire:
		m.acquire(e)
	case OpenIntent:
		m.openForRepair(e)
	case Declare:
		m.declare(e)
	case ResolveDoubt:
		m.resolveDoubt(e)
	case Advance:
		m.advanceFrom(e)
	case EndAdvance:
		m.endAdvance(e)
	case Conflict:
		m.conflict(e)
	case MarkDoubt:
		m.markDoubt(e)
	case Remake:
		m.remake(e)
	case StepDown:
		m.stepDown(e)
	case Wish:
		m.wish(e)
	case Renew:
		m.renew(e)
	case Resume:
		m.resume(e.Guard)
	case Free:
		m.free(e)
	}
	if leased := m.mayRoute(); leased != m.leased || ended {
		m.leased = leased
		m.reconsider(everyWrite)
	}
	if m.now >= m.alarm {
		m.expire()
		m.endWishes()
	}
	m.flush()
	m.closeDue()
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
	if front := m.lingering.Front(); front != nil && !m.closing {
		at = min(at, front.Value.(*repo).due(m.cfg.Linger))
	}
	return at, at != never
}

// View is the view by which the machine routes.
func (m *Machine) View() *state.State { return m.view }

// InFlight counts the writes that may have an effect, or may get one without
// waiting for anything but the ledger, and the intents kept.
func (m *Machine) InFlight() (writes, intents int) {
	for _, w := range m.writes {
		if w.registered {
			writes++
		}
	}
	for _, r := range m.repos {
		if r.live {
			intents++
		}
	}
	return writes, intents
}

// Stopped reports whether everything has ended after a Stop.
func (m *Machine) Stopped() bool {
	return m.stopped && len(m.proposals) == 0 && m.lingering.Len() == 0
}

func (m *Machine) emit(e Effect) { m.effects = append(m.effects, e) }

// stop closes the idle intents; the intents of writes that do not end stay, and are
// in doubt once this incarnation is retired.
func (m *Machine) stop() {
	m.stopped = true
	for e := m.waiting.Front(); e != nil; e = m.waiting.Front() {
		m.reject(e.Value.(*write), ErrStopping)
	}
	m.closeEarly(func(*repo) bool { return true })
}

// flush looks at every repository that the Step has touched, until none is
// left: at the writes and the repair that wait for it, and at whether it is idle.
func (m *Machine) flush() {
	for i := 0; i < len(m.toFlush); i++ {
		r := m.toFlush[i]
		r.queued = false
		if r.resumed {
			r.resumed = false
			m.serve(r)
		}
		m.park(r)
	}
	clear(m.toFlush)
	m.toFlush = m.toFlush[:0]
}

// queueFlush has the repository looked at before the Step ends.
func (m *Machine) queueFlush(r *repo) {
	if !r.queued {
		r.queued = true
		m.toFlush = append(m.toFlush, r)
	}
}

// resumeWaiters has every write that waits for the repository look again before the Step ends.
func (m *Machine) resumeWaiters(r *repo) {
	r.resumed = true
	m.queueFlush(r)
}
