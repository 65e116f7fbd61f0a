package sim

import (
	"time"

	"praefect/consensus/elector"
	"praefect/consensus/health"
	"praefect/consensus/lease"
)

const (
	// usedFor is for how long a link counts as in use after a call.
	usedFor = 500 * time.Millisecond
	// doubtApart is the time between two instances that begin to doubt the same leader.
	doubtApart = 40 * time.Millisecond
)

// judge has a leader judge whether all is calm, as session.term.becomes does. quiet says that no
// decision waits.
func (l *leader) judge(quiet bool) {
	w := l.in.w
	calm := l.known.Stirred(l.in.now(), l.in.raft.view, quiet)
	if calm && !l.truly {
		w.tracef("%s: all is calm", l.in.name)
		w.lulls.calmed()
	}
	l.truly = calm
	if !l.known.Becomes(calm || w.lulls.believed) {
		return
	}
	if !l.known.Calm() {
		clear(l.in.raft.beats)
	}
	w.cov.WrongCalms += btoi(l.known.Calm() && !calm)
	l.soon()
}

// looks has the leader judge by what it has decided last, or decide soon if there was news.
func (l *leader) looks() {
	if l.news || l.decided != l.in.raft.view || !l.quiet {
		l.news = true
		l.stirred.notify()
		return
	}
	l.judge(true)
}

// rest waits until the leader decides again.
func (l *leader) rest(t *task) {
	if l.known.Calm() {
		t.waitFor(&l.stirred, l.known.Rest(), func() bool { return l.news })
		return
	}
	t.sleep(l.in.w.between(10*time.Millisecond, 60*time.Millisecond))
}

// inUse tells whether calls are or were lately under way, or the connection is new.
func (l *link) inUse() bool {
	now := l.in.now()
	return len(l.pending) > 0 || now-l.used < usedFor || now-l.since < usedFor
}

// probeAfter is the time until the storage is asked again.
func (l *link) probeAfter() time.Duration {
	if l.in.w.setup.rests && !l.inUse() {
		return 2 * probeEvery
	}
	return probeEvery
}

// watch notes by how much the timers of the instance are late, as session.Session.watchStorages does.
func (s *session) watch() {
	wait, asked := repeatEvery, s.in.now()
	if s.calm {
		wait = elector.CalmRest
	}
	s.in.after(wait, func() {
		s.tardy(s.in.now() - asked - wait)
		s.watch()
	})
}

// ask asks for a lease if it is time to.
func (s *session) ask(leads bool) {
	if now := s.in.now(); s.asks.Due(now, s.echo) {
		s.holder.Ask(now)
		s.asks.Asked(now, s.echo, s.in.w.setup.lease, leads, s.calm)
	}
}

// again sends another message when the one that was sent must be repeated, or the next ask is due.
func (s *session) again(m *lease.ToLeader) {
	s.sends++
	sends := s.sends
	after := min(health.RepeatAfter(m.Reports, m.Idle && s.calm, reportAge), max(0, s.asks.Next()-s.in.now()))
	s.in.after(after, func() {
		if s.sends == sends {
			s.inDoubt = true
			s.flush()
		}
	})
}

// takeCalm takes the leader's word whether all is calm.
func (s *session) takeCalm(st *stream, m *lease.FromLeader) {
	calm := m.CalmMillis > 0
	if st != s.stream || calm == s.calm {
		return
	}
	s.calm = calm
	r := s.in.raft
	switch {
	case st.leader.in == s.in: // it waits for no heartbeat
	case calm:
		r.setPatience(elector.CalmTimeout)
	default:
		if r.term == m.Term {
			r.lastHeard = s.in.now()
		}
		r.setPatience(0)
	}
	s.inDoubt = true
}

// doubt ends the longer wait for heartbeats after the stream to the leader has ended, as
// library.Library.Doubt does.
func (s *session) doubt() {
	if !s.calm {
		return
	}
	s.calm = false
	r := s.in.raft
	since := min(s.in.now()-r.lastHeard, electionMin)
	s.in.after(electionMin-since+time.Duration(s.in.index)*doubtApart, func() {
		if !s.calm {
			r.setPatience(0)
		}
	})
}

// setPatience sets for how long a follower waits for a heartbeat at least; 0 is the usual time.
func (r *raft) setPatience(d time.Duration) {
	if r.patience == d {
		return
	}
	r.patience = d
	switch {
	case r.leading:
	case r.in.now()-r.lastHeard >= r.waits():
		r.campaign()
	default:
		r.arm()
	}
}

// waits is for how long a follower has a leader that it does not hear.
func (r *raft) waits() time.Duration { return max(electionMin, r.patience) }

// beat is the last heartbeat of a leader to an instance.
type beat struct {
	at       time.Duration
	answered bool
	pace     time.Duration // between two of them in calm
}

// beat sends each follower a heartbeat, unless its last answer counts for longer, as in package peer.
func (r *raft) beat() {
	now := r.in.now()
	for _, s := range r.config.servers {
		i := s.index
		switch last := &r.beats[i]; {
		case i == r.in.index:
		case last.answered && now-last.at < last.pace && r.match[i] == len(r.log):
			r.heard[i] = now
		default:
			last.at, last.answered = now, false
			r.replicateTo(i)
		}
	}
}
