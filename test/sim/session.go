package sim

import (
	"slices"
	"time"

	"praefect/consensus/elector"
	"praefect/consensus/health"
	"praefect/consensus/lease"
	"praefect/fsm/reachability"
	"praefect/fsm/routing"
	"praefect/fsm/state"
	"praefect/proxy/ledger/machine"
)

const (
	// repeatEvery is how often an instance sends its report again.
	repeatEvery = 100 * time.Millisecond
	// streamSilence is after which an instance looks for the leader anew.
	streamSilence = 700 * time.Millisecond
	// starved is by how much timers may be late before an instance doubts
	// itself.
	starved = 200 * time.Millisecond
)

// session is an instance's side of the talk with the leader.
type session struct {
	in     *instance
	holder lease.Holder
	inc    state.Incarnation
	routed state.Index // the view that the ledger has reported

	stream  *stream // to the leader it believes in
	echo    uint64
	late    time.Duration // by how much the last timer was
	lateAt  time.Duration
	refused []refusal
	inDoubt bool // there is something to tell

	// Where all becomes calm now and then:
	calm  bool // as the leader tells
	asks  lease.Asking
	sends uint64 // counts messages, so that an old timer finds itself replaced
}

// refusal says that the Raft port of an incarnation refuses.
type refusal struct {
	inc state.Incarnation
	at  time.Duration
}

// stream connects an instance with a leader.
type stream struct {
	conn   *conn
	leader *leader
	from   *session
	heard  time.Duration // by the instance's clock
}

func newSession(in *instance) *session { return &session{in: in} }

func (s *session) lease() routing.Lease { return s.holder.Usable(s.routed) }

// registered begins the talk.
func (s *session) registered(inc state.Incarnation) {
	s.inc = inc
	if s.in.w.setup.rests {
		s.watch()
		s.in.every(repeatEvery, s.connect)
		return
	}
	d := s.in.w.setup.lease
	s.in.every(d/4, func() {
		s.holder.Ask(s.in.now())
		s.inDoubt = true
		s.flush()
	})
	due := s.in.now() + repeatEvery
	s.in.every(repeatEvery, func() {
		late := s.in.now() - due
		due = s.in.now() + repeatEvery + repeatEvery/8
		s.tardy(late)
		s.connect()
		s.inDoubt = true
		s.flush()
	})
}

// tardy notes by how much a timer was late.
func (s *session) tardy(late time.Duration) {
	if late > s.late || s.in.now()-s.lateAt > time.Second {
		s.late, s.lateAt = max(0, late), s.in.now()
	}
}

// connect keeps a stream to the instance that this one believes to lead.
func (s *session) connect() {
	at := s.in.raft.leader
	if st := s.stream; st != nil {
		if at == st.leader.in.index && s.in.now()-st.heard < streamSilence && st.conn.alive(0) {
			return
		}
		st.conn.close(0)
		s.stream = nil
		s.doubt()
	}
	if at < 0 {
		return
	}
	to := s.in.w.instances[at]
	if !to.up || to.leads == nil || !s.in.w.net.both(s.in.node, to.node) {
		return
	}
	st := &stream{leader: to.leads, from: s, heard: s.in.now()}
	st.conn = s.in.w.net.dial(s.in.process, to.process, func() {
		if s.stream == st {
			s.stream = nil
			s.doubt()
		}
	}, nil)
	s.stream, s.echo = st, 0
	to.leads.streams = append(to.leads.streams, st)
	if s.in.w.setup.rests {
		s.asks, s.inDoubt = lease.Asking{}, true
		s.flush()
	}
}

// report has the leader told of the ledger's work, soon.
func (s *session) report() {
	s.routed = s.in.ledger.reports.Applied
	s.soon()
}

// observed has the leader told of the state of the links, soon.
func (s *session) observed() { s.soon() }

func (s *session) soon() {
	if s.inc == 0 || s.inDoubt {
		return
	}
	s.inDoubt = true
	s.in.after(s.in.w.between(0, time.Millisecond), s.flush)
}

// flush tells the leader everything.
func (s *session) flush() {
	if s.inc == 0 || !s.inDoubt || s.stream == nil {
		return
	}
	s.inDoubt = false
	st, ledger, rests := s.stream, s.in.ledger, s.in.w.setup.rests
	leads := st.leader.in == s.in
	if rests {
		s.ask(leads)
	}
	reports, idle := s.onStorages()
	m := &lease.ToLeader{
		InstanceID: s.in.id, Incarnation: s.inc, AskNumber: s.holder.Asked(), Echo: s.echo,
		Applied: s.routed, Reports: reports, PauseReports: ledger.reports.PauseReports,
		Idle: rests && (idle || s.in.w.lulls.believed),
	}
	if s.calm && !leads {
		m.HeartbeatTimeoutMillis = elector.CalmTimeout.Milliseconds()
	}
	for _, r := range s.refused {
		if s.in.now()-r.at < 500*time.Millisecond {
			m.Refused = append(m.Refused, r.inc)
		}
	}
	if s.in.w.setup.grows {
		report := s.in.report()
		m.Report = &report
	}
	m.Term = s.in.raft.term
	st.conn.send(0, func() { st.leader.heard(st, m) })
	if rests {
		s.again(m)
	}
}

// onStorages makes the reports on storages of this instance, and tells whether it is idle.
func (s *session) onStorages() (reports []health.Report, idle bool) {
	view := s.in.raft.view
	vs := view.VirtualStorage(virtualStorage)
	var all []reachability.Observation
	for _, l := range s.in.links {
		e := reachability.Observation{
			VirtualStorage: virtualStorage, Storage: l.st.name, Reachable: l.conn != nil,
			Refused: l.cause == causeRefused && l.redialled, Silent: l.cause == causeSilent, InUse: l.inUse(),
		}
		if e.Reachable {
			e.FilesystemID = l.fs
		}
		if vs != nil && vs.Storage(l.st.name) != nil {
			e.Agreed = vs.Storage(l.st.name).FilesystemID
		}
		all = append(all, e)
	}
	reports = health.Reports(all, health.Doubts{Late: s.late, Limit: starved})
	for i := range reports {
		reports[i].ConnectedAt = s.in.links[i].connectedAt
	}
	return reports, health.Idle(all)
}

// heard takes a message of a leader.
func (s *session) heard(st *stream, m *lease.FromLeader) {
	now := s.in.now()
	st.heard = now
	if s.holder.Received(now, m) {
		s.in.w.cov.Leases++
	}
	s.takeCalm(st, m)
	if m.Question > s.echo && st == s.stream {
		s.echo = m.Question
		s.inDoubt = true
	}
	for _, inc := range m.Probe {
		s.probe(inc)
	}
	s.in.ledger.step(machine.Session{Lease: s.lease(), Watermark: s.holder.Watermark(), WritePauses: s.holder.WritePauses()})
	s.in.w.check.routes()
	if s.inDoubt {
		s.inDoubt = false
		s.soon()
	}
}

// probe finds out whether the Raft port of an incarnation refuses: nothing but
// the end of its process closes it.
func (s *session) probe(inc state.Incarnation) {
	known := s.in.raft.view.Instance(inc)
	i := slices.IndexFunc(s.refused, func(r refusal) bool { return r.inc == inc })
	if known == nil || i >= 0 && s.in.now()-s.refused[i].at < 200*time.Millisecond {
		return
	}
	at := slices.IndexFunc(s.in.w.instances, func(o *instance) bool { return o.id == known.ID })
	peer := s.in.w.instances[at]
	if peer == s.in {
		return
	}
	s.in.afterTrue(s.in.w.net.delay(s.in.node, peer.node), func() {
		if peer.up || !s.in.w.net.both(s.in.node, peer.node) {
			return
		}
		s.refused = slices.DeleteFunc(s.refused, func(r refusal) bool { return r.inc == inc })
		s.refused = append(s.refused, refusal{inc, s.in.now()})
		s.soon()
	})
}
