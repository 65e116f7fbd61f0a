package sim

import "time"

// client reads and writes a few repositories through the instances, one request
// at a time.
type client struct {
	w  *simulation
	in *instance // that it likes
	// tired tells that the last request failed: the next one waits.
	tired bool
}

// next thinks, and then makes a request.
func (c *client) next() {
	w := c.w
	pause := w.between(0, w.setup.think)
	if w.chance(0.2) {
		pause = 0
	}
	if w.setup.votes && w.chance(0.1) {
		pause = w.between(0, 2*time.Second) // so that there is time for a repair
	}
	if c.tired {
		pause += w.between(50*time.Millisecond, 300*time.Millisecond)
		c.tired = false
	}
	w.after(pause, c.begin)
}

// begin makes a request, once a lull is over.
func (c *client) begin() {
	w := c.w
	if w.quiet {
		return
	}
	if w.lulls.on {
		w.lulls.resting = append(w.lulls.resting, c)
		return
	}
	if w.chance(0.1) || !c.in.up {
		c.in = pick(w, w.instances...)
	}
	c.request()
}

func (c *client) request() {
	w, in := c.w, c.in
	if !in.up || in.ledger == nil {
		w.after(20*time.Millisecond, c.next)
		return
	}
	r := &request{path: pick(w, w.paths...), timeout: pick[time.Duration](w, 2, 4, 4, 4, 8) * time.Second}
	finish := func(result func()) func() {
		return func() {
			if remove(&w.underway, r) {
				result()
				c.next()
			}
		}
	}
	unknown := finish(func() {})
	w.underway = append(w.underway, r)
	in.lost[r] = unknown
	w.after(r.timeout+2*time.Second, unknown)
	if w.chance(0.4) {
		c.read(r, in, finish)
		return
	}
	c.write(r, in, finish)
}

func (c *client) write(r *request, in *instance, finish func(func()) func()) {
	w := c.w
	w.cov.Writes++
	w.cov.WritesInCalm += btoi(w.setup.rests && w.calm())
	r.deletes = w.chance(w.setup.deletes)
	if !r.deletes && w.chance(0.05) {
		if r.pool = pick(w, w.paths...); r.pool == r.path {
			r.pool = ""
		}
	}
	for _, other := range w.underway {
		if len(other.ops) > 0 && other.path == r.path {
			w.cov.ConcurrentWriters++
			break
		}
	}
	w.check.begin(r, in)
	if w.setup.votes && !r.deletes {
		r.votes = !w.chance(w.setup.primaryOnly)
		for w.chance(0.2) {
			w.check.begin(r, in)
		}
	}
	w.tracef("op %d: write of %s at %s", r.ops, r.path, in.name)
	life := in.life
	r.done = func(a answered) {
		finish(func() {
			if a.err != nil {
				w.tracef("op %d: %v", r.ops, a.err)
				c.tired = true
				return
			}
			w.tracef("op %d is acknowledged by %s", r.ops, in.name)
			w.check.ack(r, a.decided)
		})()
	}
	in.afterTrue(w.between(0, 200*time.Microsecond), func() {
		if in.life == life && in.ledger != nil {
			in.run(func(t *task) { in.ledger.write(t, r) })
		}
	})
}

func (c *client) read(r *request, in *instance, finish func(func()) func()) {
	w := c.w
	w.cov.Reads++
	acked := len(w.check.repos[r.path].acked)
	r.done = func(a answered) {
		finish(func() {
			switch {
			case a.err != nil:
				c.tired = true
			case a.marked:
				w.cov.MarkedReads++
			default:
				w.check.read(r.path, acked, a.found)
			}
		})()
	}
	in.afterTrue(w.between(0, 200*time.Microsecond), func() {
		if in.ledger != nil {
			in.run(func(t *task) { in.ledger.read(t, r, true) })
		}
	})
}
