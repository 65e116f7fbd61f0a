package sim

import (
	"time"

	"praefect/fsm/state"
)

const (
	silence     = 1500 * time.Millisecond
	probeEvery  = 500 * time.Millisecond
	dialTimeout = time.Second
	redialMin   = 50 * time.Millisecond
	redialMax   = 400 * time.Millisecond
)

// cause is why there is no connection to a storage.
type cause int

const (
	causeNone    cause = iota
	causeUntried       // no attempt has ended yet
	causeRefused       // nothing listens there
	causeSilent        // nothing is heard of it
)

// link keeps one instance connected to one storage.
type link struct {
	in *instance
	st *storage

	conn       *conn // nil while there is none
	generation uint64
	fs         string // behind conn
	votes      bool   // conn has a backchannel
	// connectedAt is the index of the view before conn was made.
	connectedAt state.Index
	cause       cause
	redialled   bool          // since the last connection was lost
	since       time.Duration // of conn or of cause, by the instance's clock
	heard, used time.Duration
	pending     []*pending // calls over conn
	lost        signal     // conn is gone
}

// pending is a call that the instance waits for.
type pending struct {
	link    *link
	conn    *conn
	reply   reply[outcome]
	running *running // once it has arrived
	ended   bool     // on this side
	left    func()   // called soon after it has ended, if not nil
}

// outcome is how a call ended for its caller.
type outcome struct {
	status
	// arrived tells that the status came from the storage.
	arrived bool
}

// run connects, watches, and begins again.
func (l *link) run(t *task) {
	l.cause = causeUntried
	for failures := 0; ; {
		if !l.dial(t) {
			failures++
			l.in.reachChanged()
			t.sleep(l.in.w.between(redialMin, min(redialMax, redialMin<<min(failures, 3))))
			continue
		}
		failures = 0
		l.in.reachChanged()
		l.watch(t)
		l.in.reachChanged()
	}
}

// dial makes a connection and asks which disk is behind it.
func (l *link) dial(t *task) bool {
	w, in := l.in.w, l.in
	at := in.raft.view.Index
	var rep reply[string]
	votes := l.st.votes
	refused := false
	var c *conn
	c = w.net.dial(in.process, l.st.process, func() {
		refused = !l.st.up || refused
		l.broken(c)
		rep.set("")
	}, func() { l.st.hungUp(c) })
	c.lives[1] = l.st.life
	life := l.st.life
	if !l.st.up {
		// The host of a process that listens no more says so.
		if w.net.both(in.node, l.st.node) {
			t.sleep(w.net.delay(in.node, l.st.node))
			refused = true
			rep.set("")
		}
	} else {
		c.send(0, func() {
			if l.st.life == life {
				fs := l.st.disk.id
				c.send(1, func() { rep.set(fs) })
			}
		})
	}
	came := rep.wait(t, dialTimeout)
	if !came || rep.value == "" {
		c.close(0)
		was := l.cause
		l.redialled = true
		l.cause = causeSilent
		if refused {
			l.cause = causeRefused
		}
		if l.cause != was {
			l.since = in.now()
		}
		return false
	}
	l.conn, l.fs, l.votes, l.connectedAt, l.cause, l.redialled = c, rep.value, votes, at, causeNone, false
	l.generation++
	l.since, l.heard = in.now(), in.now()
	return true
}

// watch returns when the connection is of no more use.
func (l *link) watch(t *task) {
	c := l.conn
	for l.conn == c {
		c.send(0, func() { c.send(1, func() { l.heard = l.in.now() }) })
		t.waitFor(&l.lost, min(l.probeAfter(), silence-(l.in.now()-l.heard)), func() bool { return l.conn != c })
		if l.conn == c && l.outdated() {
			l.hangUp(c)
		}
		if l.conn == c && l.in.now()-l.heard >= silence {
			l.in.w.tracef("%s hears nothing of %s", l.in.name, l.st.name)
			l.hangUp(c)
			l.cause, l.since = causeSilent, l.in.now()
		}
	}
}

// outdated tells that the storage was taken out since the connection was made:
// only calls over a newer one tell whether it may return.
func (l *link) outdated() bool {
	vs := l.in.raft.view.VirtualStorage(virtualStorage)
	if vs == nil {
		return false
	}
	s := vs.Storage(l.st.name)
	return s != nil && s.State == state.Out && l.connectedAt < s.Since
}

// hangUp ends a connection from this side.
func (l *link) hangUp(c *conn) {
	c.close(0)
	l.broken(c)
}

// broken ends a connection and all calls over it.
func (l *link) broken(c *conn) {
	if l.conn != c {
		return
	}
	l.conn = nil
	l.cause, l.since = causeRefused, l.in.now() // until the redial says otherwise
	pending := l.pending
	l.pending = nil
	for _, p := range pending {
		p.end(outcome{status: status{err: errLost}})
	}
	l.lost.notify()
}

// over is the connection of a generation, nil if that is gone.
func (l *link) over(generation uint64) *conn {
	if l.generation != generation {
		return nil
	}
	return l.conn
}

// call sends a call over exactly the connection of a generation; nil if that is
// gone.
func (l *link) call(generation uint64, c call) *pending {
	if l.over(generation) == nil {
		return nil
	}
	p := &pending{link: l, conn: l.conn}
	l.pending = append(l.pending, p)
	l.used = l.in.now()
	st, conn := l.st, l.conn
	// A process that is paused here sends late a call that it had decided before.
	if c.verb != verbLook && !l.in.w.quiet && l.in.w.chance(l.in.w.setup.clumsy) {
		l.in.w.stopFor(l.in.process, l.in.w.between(0, longestPause))
	}
	l.in.soon(func() {
		if p.ended && l.in.w.chance(0.5) {
			return // given up before it was sent
		}
		c.sent = l.in.w.now
		conn.send(0, func() {
			p.running = st.arrive(c, conn, func(s status) {
				conn.send(1, func() {
					l.heard = l.in.now()
					p.end(outcome{status: s, arrived: true})
				})
			})
		})
	})
	l.in.after(c.timeout, func() { p.cancel(errDeadline) })
	return p
}

// end gives the outcome to the caller.
func (p *pending) end(o outcome) {
	if p.ended {
		return
	}
	p.ended = true
	remove(&p.link.pending, p)
	p.link.used = p.link.in.now()
	p.reply.set(o)
	if p.left != nil {
		p.link.in.soon(p.left)
	}
}

// cancel gives the call up: whether it has an effect is not known.
func (p *pending) cancel(why error) {
	if p.ended {
		return
	}
	p.end(outcome{status: status{err: why}})
	p.conn.send(0, func() {
		if p.running != nil {
			p.link.st.abandon(p.running)
		}
	})
}

// wait returns the outcome.
func (p *pending) wait(t *task) outcome {
	p.reply.wait(t, -1)
	return p.reply.value
}

// ask makes a call over the present connection and waits for its outcome. Without one nothing is
// under way.
func (l *link) ask(t *task, c call) outcome {
	p := l.call(l.generation, c)
	if p == nil {
		return outcome{status: status{err: errLost}, arrived: true}
	}
	return p.wait(t)
}

// look makes a call that changes nothing, over the present connection.
func (l *link) look(t *task, path string) (*content, error) {
	o := l.ask(t, call{verb: verbLook, path: path, timeout: time.Second})
	return o.found, o.err
}
