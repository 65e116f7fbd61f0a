package ledger

import (
	"context"
	"sync"
	"time"

	"praefect/fsm/routing"
	"praefect/fsm/state"
	"praefect/proxy/ledger/machine"
)

// proposeTimeout bounds the wait for the answer to a proposal. Past it the
// outcome is unknown.
const proposeTimeout = 10 * time.Second

// voteBound is the VoteBound of the machine. A storage waits much shorter for the
// answer to a vote than a silent instance counts as one that may still send it.
const voteBound = 10 * time.Second

// Node is the part of the consensus node that the ledger needs.
type Node interface {
	// View is the replicated state as this instance has applied it; its Index
	// never falls.
	View() *state.State
	// Changed is closed when there is a newer view than there was at the call.
	Changed() <-chan struct{}
	// Incarnation is this process's own, 0 before it has one.
	Incarnation() state.Incarnation
	// Propose returns when the local view has applied the commands; its results
	// are in their order. After an error the outcome is unknown.
	Propose(ctx context.Context, cmds ...state.Command) ([]state.Result, error)
}

// Session is the part of this instance's heartbeat with the leader that the ledger needs. Its
// methods must not block, nor call the ledger.
type Session interface {
	// Now is the clock of the leases: the time since boot.
	Now() time.Duration
	// Lease is this instance's; the zero Lease if it has none. It takes no lock.
	Lease() routing.Lease
	// Watermark is the index that every leased instance has applied.
	Watermark() state.Index
	// WritePauses are the virtual storages whose new writes are to wait.
	WritePauses() []routing.WritePause
	// Changed is closed when any of that has changed since the call.
	Changed() <-chan struct{}
	// Report tells the leader which view the routing of writes uses: what that
	// view dooms is doomed. Calls are made one at a time, in order.
	Report(applied state.Index, pauseReports []routing.WritePauseReport)
}

// Connection is the knowledge about the way to one storage.
type Connection = machine.Connection

// Storages is the part of the connections that the ledger needs to the storages.
type Storages interface {
	// Connections is the state of all of them.
	Connections() []Connection
	// Changed is closed when a connection has come or gone since the call.
	Changed() <-chan struct{}
}

// Config sets the ledger's times and bounds.
type Config struct {
	// Linger is how long an intent is kept after the last write under it.
	Linger time.Duration
	// QueueTimeout is how long a write waits at most for a primary, a repair or
	// a switchover.
	QueueTimeout time.Duration
	// QueueLimit is how many writes may wait at once, and QueueBytes how much
	// their first messages may occupy (0: 64 MiB).
	QueueLimit, QueueBytes int
	// LeaseWait is how long a write waits at most for a lease.
	LeaseWait time.Duration
	// RefuseConflicts has writes of a repository in conflict refused.
	RefuseConflicts bool
	// Behind is told of repositories whose storages fell behind by writes that
	// have ended. It must not block, nor call the ledger. It may be nil.
	Behind func(keys ...state.Key)
	// Metrics may be nil.
	Metrics *Metrics
	// Failpoint, if set, is called with the name of each failpoint of a write or repair; crash tests end
	// the process there.
	Failpoint func(name string)
}

// Ledger is safe for use by any number of goroutines. Run owns the goroutines that it
// starts.
type Ledger struct {
	node     Node
	session  Session
	storages Storages
	cfg      Config

	wake      chan struct{} // holds 1: Run looks at the time again
	proposals sync.WaitGroup

	mu      sync.Mutex
	machine *machine.Machine      // guarded by mu
	lastID  machine.ID            // guarded by mu
	writes  map[machine.ID]*Write // guarded by mu
	guards  map[machine.ID]*Guard // guarded by mu
	begun   bool                  // the machine knows the connections of some time; guarded by mu
	lease   routing.Lease         // the one that the machine knows; guarded by mu
	own     state.Incarnation     // the one that the machine knows; guarded by mu
	next    time.Duration         // when Run wakes by itself; guarded by mu
	ended   bool                  // Run has; guarded by mu
	pending int                   // proposals without an answer; guarded by mu
	unmade  []machine.ProposalID  // since ended; guarded by mu
	drained chan struct{}         // closed when the machine has stopped, if not nil; guarded by mu
}

// New makes a ledger. Run must be running while it is used.
func New(node Node, session Session, storages Storages, cfg Config) *Ledger {
	if cfg.Failpoint == nil {
		cfg.Failpoint = func(string) {}
	}
	if cfg.Behind == nil {
		cfg.Behind = func(...state.Key) {}
	}
	if cfg.QueueBytes == 0 {
		cfg.QueueBytes = 64 << 20
	}
	if cfg.Metrics == nil {
		cfg.Metrics = NewMetrics(nil)
	}
	return &Ledger{
		node: node, session: session, storages: storages, cfg: cfg,
		wake: make(chan struct{}, 1),
		machine: machine.New(machine.Config{
			Linger: cfg.Linger, QueueTimeout: cfg.QueueTimeout, QueueLimit: cfg.QueueLimit, QueueBytes: cfg.QueueBytes, LeaseWait: cfg.LeaseWait,
			VoteBound: voteBound, RefuseConflicts: cfg.RefuseConflicts,
		}),
		writes: make(map[machine.ID]*Write),
		guards: make(map[machine.ID]*Guard),
	}
}

// Reading returns the view by which reads are to be routed, and whether this
// instance has a lease for it: without one, others may know of acknowledged
// writes that the view does not. It takes no lock.
func (l *Ledger) Reading() (view *state.State, leased bool) {
	lease := l.session.Lease()
	view = l.node.View()
	// ▲ driver-read-older-view: A lease counts from the view on that it was given for.
	return view, lease.Valid(l.session.Now(), view.Index)
}

// Paused tells whether new writes of a virtual storage are to wait now, for a
// switchover. It takes no lock.
func (l *Ledger) Paused(virtualStorage string) bool {
	now := l.session.Now()
	for _, h := range l.session.WritePauses() {
		if h.VirtualStorage == virtualStorage && now < h.Until {
			return true
		}
	}
	return false
}

// InFlight counts the writes that may have an effect, and the intents kept.
func (l *Ledger) InFlight() (writes, intents int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.machine.InFlight()
}

// step lets the machine know of an event, and of the newest view and lease
// before it, and carries out the effects. Caller holds mu.
func (l *Ledger) step(e machine.Event) {
	// ▲ driver-token-dated-late: Read before the clock of the lease: a call that is dated by it is not
	// dated later than the lease was looked at.
	wall := time.Now()
	now := l.session.Now()
	// An instance that served reads without a quorum gets its incarnation later than its view.
	if view, own := l.node.View(), l.node.Incarnation(); view.Index > l.machine.View().Index || own != l.own {
		l.own = own
		l.carryOut(l.machine.Step(now, machine.View{State: view, Incarnation: own}), wall)
	}
	if !l.begun {
		l.begun = true
		l.carryOut(l.machine.Step(now, machine.Connections{Storages: l.storages.Connections()}), wall)
	}
	if lease := l.session.Lease(); lease != l.lease {
		l.lease = lease
		l.carryOut(l.machine.Step(now, machine.Session{Lease: lease, Watermark: l.session.Watermark(), WritePauses: l.session.WritePauses()}), wall)
	}
	l.carryOut(l.machine.Step(now, e), wall)
	for len(l.unmade) > 0 {
		p := l.unmade[0]
		l.unmade = l.unmade[1:]
		l.carryOut(l.machine.Step(now, machine.Answer{Proposal: p, Err: ErrStopping}), wall)
	}
	if at, ok := l.machine.Next(); ok && at < l.next {
		l.next = at
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
	if l.drained != nil && l.pending == 0 && l.machine.Stopped() {
		close(l.drained)
		l.drained, l.ended = nil, true
	}
}

// carryOut carries out the effects of the machine. Caller holds mu.
func (l *Ledger) carryOut(effects []machine.Effect, wall time.Time) {
	for _, effect := range effects {
		switch e := effect.(type) {
		case machine.Forward:
			l.writes[e.Write].pass(e, wall)
		case machine.Queued:
			l.writes[e.Write].queued(e.Why)
		case machine.Reject:
			l.writes[e.Write].reject(e)
		case machine.Doom:
			l.writes[e.Write].doom(e.Err)
		case machine.Drop:
			l.writes[e.Write].dropped(e)
		case machine.Allowed:
			l.writes[e.Write].allowed(e.Err)
		case machine.Finish:
			l.writes[e.Write].over(e.Err)
		case machine.Propose:
			l.start(e)
		case machine.Behind:
			l.cfg.Behind(e.Keys...)
		case machine.Done:
			if t := l.guards[e.Guard]; t != nil {
				if e.Round > 0 {
					t.invalidated = make(chan struct{})
				}
				t.done(e, wall)
			}
		case machine.Invalidated:
			if t := l.guards[e.Guard]; t != nil {
				close(t.invalidated)
			}
		case machine.Report:
			l.session.Report(e.Applied, e.PauseReports)
		}
	}
}

// start proposes beside the waiting callers: a client that hangs up must not leave the
// outcome unknown, as the answer is a moment away. Caller holds mu.
func (l *Ledger) start(p machine.Propose) {
	if l.ended {
		l.unmade = append(l.unmade, p.Proposal) // an intent stays, and becomes in doubt when we are retired
		return
	}
	l.pending++
	l.proposals.Go(func() {
		if p.Commands[0].Close != nil {
			l.cfg.Failpoint("during-close")
		}
		ctx, cancel := context.WithTimeout(context.Background(), proposeTimeout)
		results, err := l.node.Propose(ctx, p.Commands...)
		cancel()
		l.mu.Lock()
		defer l.mu.Unlock()
		l.pending--
		l.step(machine.Answer{Proposal: p.Proposal, Results: results, Err: err})
	})
}
