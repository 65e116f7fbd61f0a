package sim

import (
	"slices"
	"time"

	"praefect/consensus/elector"
	"praefect/consensus/lease"
	"praefect/fsm/state"
)

// leader is the work of an instance while it leads one term: it grants leases,
// counts reports, and decides about storages.
type leader struct {
	in      *instance
	term    uint64
	known   *elector.Term
	streams []*stream
	running []*elector.Operation
	applied []appliedAt
	looked  time.Duration // when applied was last looked at
	pending bool          // something is to be told to all
	told    time.Duration // when all were told last

	// decided is the view by which it decided last, quiet that no decision waited then, and news
	// that something has come in since, which stirred announces.
	decided     *state.State
	quiet, news bool
	stirred     signal
	truly       bool // all is calm, believed or not
}

// appliedAt is an index that the leader had applied, and when.
type appliedAt struct {
	at    time.Duration
	index state.Index
}

// leadership begins and ends the term's work with the leadership.
func (in *instance) leadership() {
	r := in.raft
	switch {
	case r.leading && r.ready && (in.leads == nil || in.leads.term != r.term) && in.ledger != nil:
		in.leads = &leader{
			in: in, term: r.term, known: elector.NewTerm(lease.Election{
				Term: r.term, Since: in.now(), Self: in.id, Length: r.view.LeaseLength(),
			}, reportAge, in.w.lately()),
		}
		in.w.tracef("%s begins its work as leader of term %d", in.name, r.term)
		l := in.leads
		in.every(repeatEvery/2, l.tick)
		in.run(l.elect)
	case in.leads != nil && (!r.leading || r.term != in.leads.term):
		for _, st := range in.leads.streams {
			st.conn.close(1)
		}
		in.leads = nil
	}
}

// leading reports whether the term still lasts, as far as the leader knows.
func (l *leader) leading() bool {
	return l.in.leads == l && l.in.raft.leading && l.in.raft.term == l.term
}

func (l *leader) heard(st *stream, m *lease.ToLeader) {
	if !l.leading() {
		return
	}
	news := l.known.Hear(l.in.now(), m)
	l.news = l.news || news
	l.in.raft.beats[st.from.in.index].pace = l.known.Pace(time.Duration(m.HeartbeatTimeoutMillis) * time.Millisecond)
	l.advance()
}

func (l *leader) tick() {
	if l.leading() && (!l.known.Calm() || l.in.now()-l.told >= elector.CalmRest) {
		l.advance()
		l.tell()
	}
}

// advance grants the leases that can be granted, and asks if one waits. Where all is never calm,
// a watermark that has risen is told with the next tick, later than package session tells it.
func (l *leader) advance() {
	now := l.in.now()
	granted, asked, risen := l.known.GrantLeases(now, l.in.raft.view, l.members(), l.voters(), false)
	l.stalled(now)
	l.in.w.check.granted(l, granted)
	rests := l.in.w.setup.rests
	if len(granted) > 0 || asked || risen && rests {
		l.soon()
	}
	if rests {
		l.looks()
	}
	l.in.w.check.watermark = max(l.in.w.check.watermark, l.known.Watermark(now))
	l.in.w.check.routes()
}

// stalled checks that no instance holds up the others: an entry that was applied here
// so long ago is known to all instances that may still hold a lease.
func (l *leader) stalled(now time.Duration) {
	d := l.in.w.setup.lease
	limit := 2*(d+lease.Margin(d)) + 300*time.Millisecond
	if n := len(l.applied); n == 0 || l.applied[n-1].index != l.in.raft.view.Index {
		l.applied = append(l.applied, appliedAt{now, l.in.raft.view.Index})
	}
	for len(l.applied) > 0 && now-l.applied[0].at > limit {
		if mark := l.known.Watermark(now); mark < l.applied[0].index && now-l.looked < 100*time.Millisecond {
			l.in.w.failf("%s: the watermark is %d, and index %d was applied %v ago", l.in.name, mark, l.applied[0].index, now-l.applied[0].at)
		}
		l.applied = l.applied[1:]
	}
	l.looked = now
}

// soon tells all, after others had a chance to say something, too.
func (l *leader) soon() {
	if l.pending {
		return
	}
	l.pending = true
	l.in.after(l.in.w.between(0, time.Millisecond), func() {
		if l.leading() {
			l.tell()
		}
	})
}

// tell tells everything to all.
func (l *leader) tell() {
	l.pending, l.told = false, l.in.now()
	l.streams = slices.DeleteFunc(l.streams, func(st *stream) bool { return !st.conn.alive(1) })
	for _, st := range l.streams {
		m := l.known.Message(l.in.now(), st.from.inc)
		for _, op := range l.running {
			if pause, ok := op.WritePauses(l.in.now()); ok {
				m.WritePauses = append(m.WritePauses, pause)
			}
		}
		st.conn.send(1, func() {
			if st.from.stream == st {
				st.from.heard(st, m)
			}
		})
	}
}
