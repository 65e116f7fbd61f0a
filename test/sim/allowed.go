package sim

import (
	"slices"

	"praefect/fsm/state"
	"praefect/proxy/router"
)

// allowed checks the conditions that must hold when the machine lets votes be answered: the
// next thing that happens may be an effect.
func (c *check) allowed(d *driver, tx *transaction, dropped []string) {
	in, w := d.in, c.w
	if tx.allowedAt == 0 {
		tx.epoch = d.view().VirtualStorage(virtualStorage).Epoch
	}
	tx.allowedAt = w.now
	w.cov.AllowedRounds++
	c.finish(in, tx.primary(), tx.epoch)
	if !in.leased() {
		w.failf("P7: %s allows votes of op %d without a lease", in.name, tx.request.ops)
	}
	if w.setup.block && len(tx.agreeing) < min(w.setup.copies, w.setup.storages) {
		w.failf("P3: votes of op %d are allowed for %v, fewer than %d", tx.request.ops, tx.agreeing, w.setup.copies)
	}
	// A storage that does not serve any more agrees no longer, no matter how it has voted.
	tx.agreeing = slices.DeleteFunc(slices.Clone(tx.agreeing), func(name string) bool { return slices.Contains(dropped, name) })
	c.throughout(tx)
	now := w.history.last()
	vs := now.VirtualStorage(virtualStorage)
	for _, path := range tx.request.paths() {
		entry := now.Entry(key(path))
		if entry != nil && entry.Advancing != "" {
			w.failf("P2: votes of op %d are allowed while %s is copied onto the primary of %s", tx.request.ops, entry.Advancing, path)
		}
		p := firstInSync(vs, entry)
		if p == nil || !slices.Contains(tx.agreeing, p.Name) || tx.leads != "" && tx.leads != p.Name {
			w.failf("P2: votes of op %d are allowed for %v, and the first storage of %s is %+v", tx.request.ops, tx.agreeing, path, p)
			return
		}
		tx.leads = p.Name
		if p.Name != tx.primary() {
			w.cov.MovedPrimaries++
		}
		for _, s := range vs.Succession {
			if !slices.Contains(tx.agreeing, s.Name) && !entry.IsBehind(s.Name) {
				w.failf("P3: votes of op %d are allowed for %v, and %s, which is %s, is not behind for %s: %v",
					tx.request.ops, tx.agreeing, s.Name, s.State, path, entry)
			}
		}
		intent := entry.Live(d.inc)
		for _, name := range tx.agreeing {
			if intent == nil || !slices.Contains(intent.Targets, name) {
				w.failf("P5: votes of op %d are allowed for %s, and no intent of %s says so: %v", tx.request.ops, name, path, entry)
			}
		}
		c.known(tx, path)
	}
}

// throughout checks that a storage that counts for a write has agreed with all of it so far (P3).
func (c *check) throughout(tx *transaction) {
	if tx.throughout == nil {
		tx.throughout = tx.agreeing
	}
	for _, name := range tx.agreeing {
		if !slices.Contains(tx.throughout, name) {
			c.w.failf("P3: votes of op %d are allowed for %s, which has not agreed with what was allowed before", tx.request.ops, name)
		}
	}
	tx.throughout = tx.agreeing
}

// ended checks that the client of a write gets its status once each storage that did not end
// as the primary did is behind (P3).
func (c *check) ended(tx *transaction, agreeing, dropped []string) {
	now := c.w.history.last()
	for _, path := range tx.request.paths() {
		entry := now.Entry(key(path))
		for _, s := range now.VirtualStorage(virtualStorage).Succession {
			if (!slices.Contains(agreeing, s.Name) || slices.Contains(dropped, s.Name)) && !entry.IsBehind(s.Name) {
				c.w.failf("P3: op %d has ended well on %v, and %s is not behind for %s: %v", tx.request.ops, agreeing, s.Name, path, entry)
			}
		}
	}
}

// known checks that no instance under a lease would read where a write is not
// (P4), from its release on.
func (c *check) known(tx *transaction, path string) {
	for in := range c.w.registered() {
		if !in.leased() {
			continue
		}
		view := in.raft.view
		if view.Index < c.w.history.last().Index {
			c.w.cov.LaggingVotes++
		}
		entry := view.Entry(key(path))
		if view.VirtualStorage(virtualStorage) == nil {
			continue
		}
		for _, s := range view.VirtualStorage(virtualStorage).Succession {
			if (s.State == state.Serving || s.State == state.Fenced) && !entry.IsBehind(s.Name) && !slices.Contains(tx.agreeing, s.Name) {
				c.w.failf("P4: votes of op %d are allowed for %v, and %s, by index %d, would read %s at %s",
					tx.request.ops, tx.agreeing, in.name, view.Index, path, s.Name)
			}
		}
	}
}

// voted checks that an effect follows a vote that was allowed (P5): a write that
// fails without one leaves nothing anywhere.
func (c *check) voted(s *storage, tx *transaction) {
	if tx.allowedAt == 0 || !slices.Contains(tx.committed, s.name) {
		c.w.failf("P5: op %d has an effect on %s, and no vote was allowed for it", tx.request.ops, s.name)
	}
}

// counts checks that a vote counts only in the write that it was cast for, and over
// the connection that its call came over (P5).
func (c *check) counts(tx *transaction, from *running, s *storage, over *conn) {
	switch {
	case from.tx != tx:
		c.w.failf("P5: a vote of %s on op %d counts for op %d", s.name, from.ops, tx.request.ops)
	case from.conn != over:
		c.w.failf("P5: a vote of %s on op %d counts that came over another connection", s.name, from.ops)
	}
}

// commits checks that a write is not committed that is over, or that its primary has
// stopped (P5).
func (c *check) commits(tx *transaction) {
	switch {
	case tx.stopped:
		c.w.failf("P5: op %d is committed after its primary has stopped it", tx.request.ops)
	case tx.ended:
		c.w.failf("P5: op %d is committed after it has ended", tx.request.ops)
	}
}

// hook notes that the primary has all of a write, and tells others of it: they may
// rely on it from now on, although the client has no status yet.
func (c *check) hook(tx *transaction) {
	w, r := c.w, tx.request
	w.cov.Hooks++
	w.tracef("op %d: the hook runs on %s", r.ops, tx.primary())
	for _, o := range r.ops {
		c.acknowledged(c.ops[o], tx.allowedAt)
	}
	now := w.history.last()
	vs, entry := now.VirtualStorage(virtualStorage), now.Entry(key(r.path))
	serving, have := 0, 0
	for i := range vs.Succession {
		s := &vs.Succession[i]
		if s.State != state.Serving || entry.IsBehind(s.Name) {
			continue
		}
		found, ok := c.onDisk(s, r.path)
		if !ok {
			continue // it has had it, and is lost
		}
		serving++
		if c.must(found, c.repos[r.path].acked) == nil {
			have++
		}
	}
	if serving >= w.setup.copies && have < w.setup.copies {
		w.failf("P3: op %d is acknowledged while %d storages are in sync, and %d have it", r.ops, serving, have)
	}
	c.readable(r.path)
}

// readable checks that a read through any instance under a lease would find everything
// that is acknowledged, wherever it goes (P4).
func (c *check) readable(path string) {
	for in := range c.w.registered() {
		if in.leased() {
			c.readableAt(in, path)
		}
	}
}

// readableAt is readable for one instance.
func (c *check) readableAt(in *instance, path string) {
	read := router.Read{Key: key(path)}
	reach := func(name string) router.Reachability { return in.link(name).reach() }
	for {
		name, err := router.RouteRead(in.raft.view, read, reach, func(int) int { return 0 })
		if err != nil {
			return // it has looked everywhere
		}
		read.Tried = append(read.Tried, name)
		st := c.w.storage(name)
		if !st.up || st.disk.id != in.link(name).fs {
			continue // its connection is broken, and the read goes on
		}
		if lacks := c.must(st.disk.repos[path], c.repos[path].acked); lacks != nil {
			c.w.failf("P4: op %d of %s is acknowledged, and %s would read at %s, which lacks it", lacks.op, path, in.name, name)
		}
	}
}

// contenders counts the writes that vote on a repository beside another one.
func (c *check) contenders(tx *transaction) {
	for in := range c.w.registered() {
		for _, other := range in.ledger.votes {
			if other != tx && other.request.touches(tx.request) {
				c.w.cov.ConcurrentVoters++
				return
			}
		}
	}
}
