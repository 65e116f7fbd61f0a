package sim

import (
	"slices"
	"time"

	"praefect/fsm/state"
)

// forward checks that no write is sent by a view older than one that a leader took for
// known to all instances that may write (P2).
func (c *check) forward(in *instance) {
	if view := in.ledger.view().Index; view < c.watermark {
		c.w.failf("P2: %s forwards a write by index %d, and the watermark is %d", in.name, view, c.watermark)
	}
}

// finish checks that no status is passed on from a storage that the instance knows
// to have been fenced since (P2).
func (c *check) finish(in *instance, storage string, epoch uint64) {
	vs := in.ledger.view().VirtualStorage(virtualStorage)
	if s := vs.Storage(storage); s.State != state.Serving || s.FencedEpoch > epoch {
		c.w.failf("P2: %s passes on what %s says, which is %s and was fenced at epoch %d, after %d",
			in.name, s.Name, s.State, s.FencedEpoch, epoch)
	}
}

// routes checks that no instance under a lease routes by a view older than one
// that a leader took for known to all.
func (c *check) routes() {
	for in := range c.w.registered() {
		l, view := in.session.lease(), in.ledger.view().Index
		if in.now() < l.Until && view >= l.Index && view < c.watermark {
			c.w.failf("P4: %s routes by %d, and the watermark is %d", in.name, view, c.watermark)
		}
	}
}

// retired checks that a lease has ended when its holder is retired: its marks have to
// bound only the calls that it has under way by then (P5).
func (c *check) retired(inc state.Incarnation) {
	for in := range c.w.registered() {
		if l := in.session.lease(); in.ledger.inc == inc && in.now() < l.Until && in.ledger.view().Index >= l.Index {
			c.w.failf("P5: %s is retired, and has a lease for %v", in.name, l.Until-in.now())
		}
	}
}

// admits checks that a leader ends a fence only when no instance under a lease
// routes by a view without it (P2).
func (c *check) admits(l *leader, commands []state.Command) {
	for _, cmd := range commands {
		if cmd.Admit == nil {
			continue
		}
		for in := range c.w.registered() {
			le, view := in.session.lease(), in.ledger.view()
			vs := view.VirtualStorage(virtualStorage)
			if in.now() >= le.Until || view.Index < le.Index || vs == nil {
				continue
			}
			for _, a := range cmd.Admit.Storages {
				if s := vs.Storage(a.Storage); s.FencedEpoch < l.in.raft.view.VirtualStorage(virtualStorage).Storage(a.Storage).FencedEpoch {
					c.w.failf("P2: %s admits %s while %s may write to it", l.in.name, a.Storage, in.name)
				}
			}
		}
	}
}

// granted checks that a lease is given to none that was removed, or that an operator calls gone:
// it is retired once its last one has ended (P5).
func (c *check) granted(l *leader, granted []state.Incarnation) {
	for _, inc := range granted {
		known := l.in.raft.view.Instance(inc)
		if _, gone := l.known.Gone[inc]; known != nil && (gone || !slices.Contains(l.members(), known.ID)) {
			c.w.failf("P5: %s gives a lease to %d, which is %s and was removed", l.in.name, inc, known.ID)
		}
	}
}

// proof checks that an instance that was removed is retired because of that: the leader does not
// wait for its silence (P5).
func (c *check) proof(before *state.State, r *state.Retire) {
	if r.Proof == state.ProofOperator {
		c.w.cov.RetiredByWord++
	}
	id := before.Instance(r.Incarnation).ID
	if at, ok := c.w.history.removed[id]; ok && (r.Proof == state.ProofSilent || r.Proof == state.ProofRefused) && c.w.now-at > time.Second {
		c.w.failf("P5: %s was removed %v ago, and is retired as %s", id, c.w.now-at, r.Proof)
	}
}

// quorum notes whether a majority of the members can agree: the members of the configuration that
// is committed, or of one that may yet be.
func (c *check) quorum() {
	w := c.w
	if c.agree(w.history.config) {
		c.quorumLost = -1
		return
	}
	if w.setup.changes {
		for _, in := range w.instances {
			if in.up && in.raft != nil && in.raft.config != w.history.config && c.agree(in.raft.config) {
				c.quorumLost = -1
				return
			}
		}
	}
	if c.quorumLost < 0 {
		c.quorumLost = w.now
	}
}

// agree tells whether a majority of the voters can reach one of them.
func (c *check) agree(config *configuration) bool {
	w, voters := c.w, config.voters()
	for _, i := range voters {
		n := 0
		for _, j := range voters {
			in, peer := w.instances[i], w.instances[j]
			if in.up && peer.up && in.paused <= w.now && peer.paused <= w.now && (in == peer || w.net.both(in.node, peer.node)) {
				n++
			}
		}
		if 2*n > len(voters) {
			return true
		}
	}
	return false
}

// firstInSync is the storage whose place makes it the primary, if it serves.
func firstInSync(vs *state.VirtualStorage, entry *state.Entry) *state.Storage {
	for i := range vs.Succession {
		if s := &vs.Succession[i]; (s.State == state.Serving || s.State == state.Fenced) && !entry.IsBehind(s.Name) {
			return s
		}
	}
	return nil
}

// wrote checks that only the primary vouches for a write, and only if it was not
// fenced since the write was routed (P2).
func (c *check) wrote(before *state.State, cmd *state.MarkBehind) {
	vs := before.VirtualStorage(virtualStorage)
	for _, path := range cmd.Paths {
		if e := before.Entry(key(path)); e != nil && e.Advancing != "" {
			c.w.failf("P2: a write of %s is accounted for while %s is copied onto its primary", path, e.Advancing)
		}
		if s := firstInSync(vs, before.Entry(key(path))); s == nil || s.Name != cmd.Primary || s.State != state.Serving || s.FencedEpoch > cmd.Epoch {
			c.w.failf("P2: a write of epoch %d is accounted for by %s, and the first storage of %s is %+v", cmd.Epoch, cmd.Primary, path, s)
		}
	}
}

// primary checks which storage may be written to (P1): the first storage that is in
// sync, and none as long as that one is fenced.
func (c *check) primary(vs *state.VirtualStorage, path string, entry *state.Entry) {
	want := ""
	if s := firstInSync(vs, entry); s != nil && s.State == state.Serving && (entry == nil || entry.Advancing == "") {
		want = s.Name
	}
	got := ""
	if p, ok := vs.Primary(entry); ok {
		got = p.Name
	}
	if got != want {
		c.w.failf("P1: the primary of %s is %q, not %q", path, got, want)
	}
}

// order checks that no storage which serves is overtaken (P2): a storage that began to
// serve stands behind all that did before.
func (c *check) order(before, after *state.VirtualStorage) {
	served := func(name string) int {
		return slices.IndexFunc(before.Succession, func(s state.Storage) bool { return s.Name == name && s.State == state.Serving })
	}
	last, lastName := -1, ""
	for _, s := range after.Succession {
		if s.State != state.Serving {
			continue
		}
		at := served(s.Name)
		if at < 0 {
			at = len(before.Succession)
		}
		if at < last {
			c.w.failf("P2: %s overtakes %s, which serves", lastName, s.Name)
		}
		last, lastName = at, s.Name
	}
}

// checkState checks the state that a committed entry has made of the agreed state.
func (w *simulation) checkState(before, after *state.State, e entry, results []state.Result) {
	c := w.check
	if err := after.Check(); err != nil {
		w.failf("the agreed state is not sound: %v", err)
	}
	for i, cmd := range e.batch.Commands {
		if results[i].Index != after.Index {
			w.cov.Repeated++
			continue // the answer of an earlier entry
		}
		w.trace2(after.Index, e, cmd, results[i])
		if results[i].Refusal != nil {
			w.cov.Refusals++
			continue
		}
		w.count(cmd)
		switch {
		case cmd.Define != nil:
			w.keeps(before, after, cmd.Define)
		case cmd.MarkBehind != nil:
			c.wrote(before, cmd.MarkBehind)
		case cmd.Retire != nil:
			c.retired(cmd.Retire.Incarnation)
			c.proof(before, cmd.Retire)
		case cmd.AcceptLoss != nil:
			c.loss(cmd.AcceptLoss.RelativePath, cmd.AcceptLoss.Storage)
		}
	}
	vs := after.VirtualStorage(virtualStorage)
	if vs == nil {
		return
	}
	if was := before.VirtualStorage(virtualStorage); was != nil {
		if vs.Epoch < was.Epoch {
			w.failf("P1: the epoch fell from %d to %d", was.Epoch, vs.Epoch)
		}
		c.order(was, vs)
	}
	if p, ok := vs.Primary(nil); ok {
		if was, known := c.primaries[vs.Epoch]; known && was != p.Name {
			w.failf("P1: epoch %d has the primaries %s and %s", vs.Epoch, was, p.Name)
		}
		c.primaries[vs.Epoch] = p.Name
	}
	for _, path := range w.paths {
		c.primary(vs, path, after.Entry(key(path)))
		c.replicas(path)
	}
}
