package sim

import (
	"time"

	"praefect/fsm/state"
	"praefect/proxy/router"
)

// reading is the view by which reads are routed, and whether the instance may
// answer them as current.
func (in *instance) reading() (view *state.State, leased bool) {
	l := in.session.lease()
	return in.raft.view, in.ledger != nil && in.now() < l.Until && in.raft.view.Index >= l.Index
}

// leased reports whether the instance has a lease.
func (in *instance) leased() bool {
	_, leased := in.reading()
	return leased
}

// read handles a read: from a storage that is in sync by the routing view, under
// a lease; else it is passed on to a peer, one hop, or answered with an intent.
func (d *driver) read(t *task, r *request, hop bool) {
	in := d.in
	if !in.leased() && hop && d.passOn(t, r) {
		in.w.cov.PassedOn++
		return
	}
	marked := false
	read := router.Read{Key: key(r.path)}
	reach := func(name string) router.Reachability { return in.link(name).reach() }
	for {
		// The view and the lease that the read is routed by are of one moment.
		view, leased := in.reading()
		marked = marked || !leased
		name, err := router.RouteRead(view, read, reach, in.w.rand.IntN)
		if err != nil {
			r.done(answered{err: err})
			return
		}
		read.Tried = append(read.Tried, name)
		if len(read.Tried) > 1 {
			in.w.cov.RetriedReads++
		}
		l := in.link(name)
		p := l.call(l.generation, call{verb: verbLook, path: r.path, timeout: r.timeout})
		if p == nil {
			continue
		}
		o := p.wait(t)
		if o.err == nil {
			r.done(answered{found: o.found, marked: marked})
			return
		}
		if o.err == errDeadline {
			r.done(answered{err: o.err})
			return
		}
	}
}

// passOn has a peer under a lease answer; false if none does.
func (d *driver) passOn(t *task, r *request) bool {
	in := d.in
	for peer := range in.w.registered() {
		if peer == in {
			continue
		}
		var rep reply[answered]
		life := in.life
		in.w.net.datagram(in.node, peer.process, func() {
			if peer.ledger == nil || !peer.leased() {
				return
			}
			fwd := *r
			fwd.done = func(a answered) {
				in.w.net.datagram(peer.node, in.process, func() {
					if in.life == life {
						rep.set(a)
					}
				})
			}
			peer.run(func(t *task) { peer.ledger.read(t, &fwd, false) })
		})
		if rep.wait(t, 300*time.Millisecond) && rep.value.err == nil {
			r.done(rep.value)
			return true
		}
	}
	return false
}
