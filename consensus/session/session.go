package session

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"praefect/consensus/elector"
	"praefect/consensus/health"
	"praefect/consensus/lease"
	"praefect/consensus/member"
	"praefect/consensus/settings"
	"praefect/fsm/condition"
	"praefect/fsm/reachability"
	"praefect/fsm/routing"
	"praefect/fsm/state"
)

// Node is the part of the consensus node that a Session needs.
type Node interface {
	ID() string
	Incarnation() state.Incarnation
	View() *state.State
	Changed() <-chan struct{}
	// Term is this instance's own Raft term, read when it is called.
	Term() uint64
	Leading() (member.Leadership, bool)
	LeadershipChanged() <-chan struct{}
	DialLeader(ctx context.Context) (lease.Client, error)
	Members() []member.Member
	Refuses(ctx context.Context, m member.Member) (bool, error)
	ProposeAs(ctx context.Context, term uint64, cmds ...state.Command) ([]state.Result, error)
	// SetHeartbeatTimeout sets for how long the Raft library of a follower waits for a heartbeat before it
	// calls an election, 0 for the usual time.
	SetHeartbeatTimeout(d time.Duration)
	// Affirm has the library of the leader make fewer heartbeats, all at once, or as many as usual.
	Affirm(rarely bool)
	// Doubt ends the longer timeout when the stream to the leader has ended without its word. It waits
	// for a moment that depends on the turn, until ended is closed, or until ctx ends.
	Doubt(ctx context.Context, turn int, ended <-chan struct{})
	// HeardLeader counts a message of the leader of that term as a heartbeat.
	HeardLeader(term uint64)
	// SetPace sets the time between two heartbeats to a follower while this instance leads in the
	// term, 0 for the usual one.
	SetPace(id string, term uint64, every time.Duration)
}

// Storages is the part of the connections that a Session needs to the storages.
type Storages interface {
	// Observations returns the facts about the way to each storage, in a new slice; Agreed is left empty.
	Observations() []reachability.Observation
	// Changed is closed when a connection has come or gone since the call.
	Changed() <-chan struct{}
	// Renew replaces the connection of that generation, if it is still there. It
	// does not wait.
	Renew(virtualStorage, storage string, generation uint64)
}

// Config sets the times of a Session.
type Config struct {
	// Now is the clock of the leases, the time since boot; it is needed.
	Now func() time.Duration
	// Failover are the elector's times.
	Failover elector.Settings
	// Configured are the virtual storages of the settings.
	Configured []elector.Configured
	// Settings is the report of this instance to the leader about its settings; it is called often, and must not
	// block. Nil tells of Configured.
	Settings func() settings.Report
	// Unclaimed says why a virtual storage that is not in the state cannot be defined yet, "" if it
	// can. Nil lets every one be defined.
	Unclaimed func(virtualStorage string) string
	// Barred says why this instance may take no lease, and as the leader grant none, "" if it may. It
	// is called often, and must not block. Nil never bars it.
	Barred func() string
	// Calm is told when all becomes calm, and when it is not any more; it must not wait. Nil: nothing
	// is to be told.
	Calm func(calm bool)
	// ReportAge is for how long the report of an instance on the storages counts
	// (300 ms if zero).
	ReportAge time.Duration
	// LateLimit is how late this instance's own timers may be before it
	// reports nothing of others (200 ms if zero).
	LateLimit time.Duration
	// CatchUp and WritePause bound the waits of a switchover (1 min and 8 s if zero).
	CatchUp, WritePause time.Duration
	// Logger defaults to none.
	Logger *slog.Logger
}

const (
	tick = 25 * time.Millisecond // how often a leader looks without being woken
	gap  = time.Millisecond      // between two messages of one side, on average
	// leaderRepeat is how often the leader speaks at least. Its questions come more often.
	leaderRepeat = 300 * time.Millisecond
	firstTry     = 10 * time.Millisecond
	lastTry      = 250 * time.Millisecond
	// silence is after which an instance gives up a stream to a leader.
	silence = 700 * time.Millisecond
	// doubtFor is how long an instance that was starved reports nothing.
	doubtFor = 500 * time.Millisecond
	// goodbye bounds the wait until the leader has taken back the lease.
	goodbye = 250 * time.Millisecond
)

// published is the part that readers see. It is immutable.
type published struct {
	lease     routing.Lease
	watermark state.Index
	pauses    []routing.WritePause
	replaced  chan struct{} // closed when there is a newer one
}

// Session is one instance's. Run is its life.
type Session struct {
	node     Node
	storages Storages
	cfg      Config

	current atomic.Pointer[published]
	// late is by how much the own timers were late lately, in nanoseconds.
	late atomic.Int64

	// connected has the facts about the connections, and looked the index of the
	// view when they were last looked at; only the sender.
	connected map[health.Name]connected
	looked    state.Index

	mu           sync.Mutex
	holder       lease.Holder               // guarded by mu
	routed       state.Index                // guarded by mu; by Report
	pauseReports []routing.WritePauseReport // guarded by mu; by Report
	refused      []state.Incarnation
	news         chan struct{}      // guarded by mu; closed when there is something to tell
	calm         bool               // guarded by mu; as the leader tells
	told         string             // guarded by mu; the digest of the settings that the leader has of this instance
	leading      *term              // guarded by mu; nil while this instance does not lead
	alarms       []condition.Raised // guarded by mu; of the latest decision
	// rejoining is when storages serve again; guarded by mu; of the latest decision.
	rejoining map[health.Name]time.Duration
}

// New makes a Session. Run must be running while it is used.
func New(node Node, storages Storages, cfg Config) *Session {
	setDefault(&cfg.ReportAge, 300*time.Millisecond)
	setDefault(&cfg.LateLimit, 200*time.Millisecond)
	setDefault(&cfg.CatchUp, time.Minute)
	setDefault(&cfg.WritePause, 8*time.Second)
	cfg.Failover = cfg.Failover.WithDefaults()
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Settings == nil {
		report := reportOf(cfg.Configured)
		cfg.Settings = func() settings.Report { return report }
	}
	if cfg.Barred == nil {
		cfg.Barred = func() string { return "" }
	}
	s := &Session{node: node, storages: storages, cfg: cfg, news: make(chan struct{}), connected: make(map[health.Name]connected)}
	s.current.Store(&published{replaced: make(chan struct{})})
	return s
}

// reportOf is a report that names storages, and nothing else.
func reportOf(configured []elector.Configured) settings.Report {
	var r settings.Report
	for _, c := range configured {
		vs := settings.VirtualStorage{Name: c.VirtualStorage}
		for _, name := range c.Storages {
			vs.Storages = append(vs.Storages, settings.Storage{Name: name})
		}
		r.VirtualStorages = append(r.VirtualStorages, vs)
	}
	return r.Seal()
}

func setDefault(d *time.Duration, value time.Duration) {
	if *d == 0 {
		*d = value
	}
}

// Now is the clock of the leases.
func (s *Session) Now() time.Duration { return s.cfg.Now() }

// Lease returns this instance's lease; it may have ended. It takes no lock.
func (s *Session) Lease() routing.Lease { return s.current.Load().lease }

// Watermark returns an index that every leased instance has applied.
func (s *Session) Watermark() state.Index { return s.current.Load().watermark }

// WritePauses returns the pauses in force. The slice must not be changed.
func (s *Session) WritePauses() []routing.WritePause { return s.current.Load().pauses }

// Changed returns a channel that is closed when lease, watermark or pauses have
// changed since the call. Call it before the others, so that no update is missed.
func (s *Session) Changed() <-chan struct{} { return s.current.Load().replaced }

// Report tells which view the routing of writes uses, and how far the pauses are.
func (s *Session) Report(applied state.Index, pauseReports []routing.WritePauseReport) {
	s.mu.Lock()
	defer s.mu.Unlock()
	news := s.routed != applied || !slices.Equal(s.pauseReports, pauseReports)
	s.routed, s.pauseReports = applied, pauseReports
	// A later view may make a longer lease usable.
	if next := *s.current.Load(); next.lease != s.holder.Usable(applied) {
		next.lease = s.holder.Usable(applied)
		s.publish(next)
	}
	if news {
		s.tell()
	}
}

// Barred says why this instance takes no lease in spite of a grant, "" if nothing keeps it.
func (s *Session) Barred() string { return s.cfg.Barred() }

// unclaimed says why a virtual storage that is not in the state cannot be defined yet.
func (s *Session) unclaimed(virtualStorage string) string {
	if why := s.cfg.Barred(); why != "" {
		return why
	}
	if s.cfg.Unclaimed == nil {
		return ""
	}
	return s.cfg.Unclaimed(virtualStorage)
}

// Leads tells whether this instance leads now. Work that depends on it must not need
// it to stay so.
func (s *Session) Leads() bool {
	_, leads := s.node.Leading()
	return leads
}

// Alarms returns the alarms of the leader for an operator; nothing at the
// other instances.
func (s *Session) Alarms() []condition.Raised {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.alarms
}

// RejoinsIn returns the time until a storage serves again that was dead, if the leader, this
// instance, waits for that.
func (s *Session) RejoinsIn(virtualStorage, storage string) (time.Duration, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, ok := s.rejoining[health.Name{VirtualStorage: virtualStorage, Storage: storage}]
	return max(0, at-s.cfg.Now()), ok
}

// Heard tells which members the leader, this instance, has heard of lately. It returns nothing at
// the other instances.
func (s *Session) Heard() []condition.Member {
	t := s.term()
	if t == nil {
		return nil
	}
	now, view := s.cfg.Now(), s.node.View()
	var list []condition.Member
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, m := range s.node.Members() {
		member := condition.Member{Name: m.Name, Voter: m.Voter}
		for _, in := range view.Instances {
			if in.ID != m.ID {
				continue
			}
			if member.Name == "" {
				member.Name = in.Name
			}
			at, ok := t.known.LastReceived(in.Incarnation)
			member.Heard = member.Heard || ok && now-at <= lately
			member.Leased = member.Leased || t.known.Leased(in.Incarnation, now)
		}
		list = append(list, member)
	}
	return list
}

// isCalm tells whether all is calm, as the leader says.
func (s *Session) isCalm() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calm
}

// setCalm takes the word of the leader whether all is calm; without a leader it is not. Caller holds mu.
func (s *Session) setCalm(calm bool) {
	if s.calm != calm && s.cfg.Calm != nil {
		s.cfg.Calm(calm)
	}
	s.calm = calm
}

// tell wakes the goroutine that sends to the leader. Caller holds mu.
func (s *Session) tell() {
	close(s.news)
	s.news = make(chan struct{})
}

// publish makes the next published state. Caller holds mu.
func (s *Session) publish(next published) {
	next.replaced = make(chan struct{})
	before := s.current.Swap(&next)
	close(before.replaced)
}

// Run sends heartbeats and leads until ctx ends; then it gives the lease back. The node
// must be ready, and be closed after it.
func (s *Session) Run(ctx context.Context) error {
	var loops sync.WaitGroup
	loops.Go(func() { s.lead(ctx) })
	loops.Go(func() { s.heartbeat(ctx) })
	loops.Go(func() { s.watchStorages(ctx) })
	loops.Wait()
	return nil
}

// watchStorages has every change of a connection told at once, and notices when
// this process is starved.
func (s *Session) watchStorages(ctx context.Context) {
	doubted := -doubtFor
	for {
		changed := s.storages.Changed()
		asked, wait := s.cfg.Now(), health.RepeatDoubt
		if s.isCalm() {
			wait = untilNext(elector.CalmRest)
		}
		t := time.NewTimer(wait)
		select {
		case <-changed:
		case <-t.C:
		case <-ctx.Done():
		}
		t.Stop()
		if ctx.Err() != nil {
			return
		}
		// After a pause of this process both may have happened: what the
		// connections look like then says more about this process than about them.
		now := s.cfg.Now()
		before := s.late.Load()
		if late := now - asked - wait; late > s.cfg.LateLimit {
			doubted = now
			s.late.Store(int64(late))
		} else if now-doubted >= doubtFor {
			s.late.Store(0)
		}
		s.keepBar() // there may be no stream over which a lease would be asked for
		if !isClosed(changed) && before == s.late.Load() {
			continue // the stream repeats the known reports
		}
		s.mu.Lock()
		s.tell()
		s.mu.Unlock()
	}
}
