package sim

import (
	"slices"

	"praefect/fsm/state"
	"praefect/proxy/ledger/machine"
)

func (c *check) forward(in *instance) {
	if view := in.ledger.view().Index; view < c.watermark {
		c.w.failf("P2: %s forwards a write by index %d, and the watermark is %d", in.name, view, c.watermark)
	}
}

func (c *check) finish(in *instance, f machine.Forward) {
	vs := in.ledger.view().VirtualStorage(virtualStorage)
	if s := vs.Storage(f.Storage); s.Standing != state.Serving || s.FencedEpoch > f.Epoch {
		c.w.failf("P2: %s passes on a status of %s, which is %s and was fenced at epoch %d, after %d",
			in.name, s.Name, s.Standing, s.FencedEpoch, f.Epoch)
	}
}

func (c *check) routes() {
	for _, in := range c.w.instances {
		if !in.up || in.ledger == nil {
			continue
		}
		l, view := in.session.lease(), in.ledger.view().Index
		if in.now() < l.Until && view >= l.Index && view < c.watermark {
			c.w.failf("P4: %s routes by %d, and the watermark is %d", in.name, view, c.watermark)
		}
	}
}

func (c *check) retired(inc state.Incarnation) {
	for _, in := range c.w.instances {
		if !in.up || in.ledger == nil || in.ledger.inc != inc {
			continue
		}
		if l := in.session.lease(); in.now() < l.Until && in.ledger.view().Index >= l.Index {
			c.w.failf("P5: %s is retired, and has a lease for %v", in.name, l.Until-in.now())
		}
	}
}

func (c *check) admits(l *leader, commands []state.Command) {
	for _, cmd := range commands {
		if cmd.Admit == nil {
			continue
		}
		for _, in := range c.w.instances {
			if !in.up || in.ledger == nil {
				continue
			}
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

func (c *check) quorum() {
	w := c.w
	for _, in := range w.instances {
		n := 0
		for _, peer := range w.instances {
			if in.up && peer.up && in.paused <= w.now && peer.paused <= w.now && (in == peer || w.net.both(in.node, peer.node)) {
				n++
			}
		}
		if 2*n > len(w.instances) {
			c.quorumLost = -1
			return
		}
	}
	if c.quorumLost < 0 {
		c.quorumLost = w.now
	}
}

func (c *check) primary(vs *state.VirtualStorage, path string, entry *state.Entry) {
	want := ""
	for _, s := range vs.Succession {
		if (s.Standing == state.Serving || s.Standing == state.Fenced) && !entry.IsBehind(s.Name) {
			if s.Standing == state.Serving {
				want = s.Name
			}
			break
		}
	}
	got := ""
	if p, ok := vs.Primary(entry); ok {
		got = p.Name
	}
	if got != want {
		c.w.failf("P1: the primary of %s is %q, not %q", path, got, want)
	}
}

func (c *check) order(before, after *state.VirtualStorage) {
	served := func(name string) int {
		return slices.IndexFunc(before.Succession, func(s state.Storage) bool { return s.Name == name && s.Standing == state.Serving })
	}
	last, lastName := -1, ""
	for _, s := range after.Succession {
		if s.Standing != state.Serving {
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

func (w *world) checkState(before, after *state.State, e entry, results []state.Result) {
	c := w.check
	if err := after.Check(); err != nil {
		w.failf("the agreed state is not sound: %v", err)
	}
	for i, cmd := range e.batch.Commands {
		w.trace2(after.Index, e, cmd, results[i])
		if results[i].Refusal == nil {
			w.count(cmd)
		} else {
			w.cov.Refusals++
		}
		if cmd.Retire != nil && results[i].Refusal == nil {
			c.retired(cmd.Retire.Incarnation)
		}
		if cmd.AcceptLoss != nil && results[i].Refusal == nil {
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
