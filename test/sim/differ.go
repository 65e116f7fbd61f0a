package sim

import (
	"fmt"
	"math/rand/v2"
	"time"

	"praefect/fsm/state"
	"praefect/proxy/ledger/machine"
	"praefect/replicator/plan"
)

// tampers tells in which schedules a program changes replicas past the instances, which compare
// them in the background. It draws from nothing: all other schedules stay as they are.
func tampers(seed uint64) bool {
	return seed%32 == 15 || seed%32 == 26 || seed%64 == 0
}

// tamper changes replicas past the instances, one after the other, until the faults are over.
func (w *simulation) tamper() {
	if !tampers(w.seed) {
		return
	}
	draw := rand.New(rand.NewPCG(w.seed, 37))
	w.repeatFrom(draw, upTo(draw, 2*time.Second), 0, 3*time.Second, func() {
		w.check.tamper(pickOf(draw, w.storages...), pickOf(draw, w.paths...))
	})
}

// tamper has a replica that counts for something get a change that no client asked the instances
// for.
func (c *check) tamper(s *storage, path string) {
	vs := c.w.history.last().VirtualStorage(virtualStorage)
	before := s.disk.repos[path]
	if vs == nil || vs.Storage(s.name) == nil || vs.Storage(s.name).Uncompared != "" || before == nil || before.torn {
		return
	}
	o := op(len(c.ops))
	c.ops = append(c.ops, &write{op: o, path: path, lost: true}) // it was promised to no client
	s.disk.repos[path] = before.with(o)
	c.tampered[replicaKey{path, s.name}] = true
	c.w.cov.Tampered++
	c.w.tracef("%s: somebody makes op %d of %s there", s.name, o, path)
}

// tamperedWith tells whether a replica of a repository has a change that no client asked for.
func (c *check) tamperedWith(path string) bool {
	for k := range c.tampered {
		if k.path == path {
			return true
		}
	}
	return false
}

// spreads notes the fate of such a change when a replica was replaced: a copy has the changes of
// its source.
func (c *check) spreads(s *storage, r *running) {
	to := replicaKey{r.path, s.name}
	switch r.verb {
	case verbReplicate:
		if delete(c.tampered, to); c.tampered[replicaKey{r.path, r.source.name}] {
			c.tampered[to] = true
		}
	case verbDelete, verbRemove:
		delete(c.tampered, to)
	}
}

// alike notes that the replicas that count are equal: each change past the instances is in all of
// them, or in none.
func (c *check) alike(path string) {
	for k := range c.tampered {
		if k.path == path {
			delete(c.tampered, k)
		}
	}
}

// differed checks that only replicas are put in doubt that were changed past the instances, or
// whose primary's replica was (P5): the ledger explains any other difference.
func (c *check) differed(cmd *state.MarkDoubt) {
	c.w.cov.Differed++
	for _, d := range cmd.Differences {
		if !c.tampered[replicaKey{cmd.RelativePath, d.Storage}] && !c.tampered[replicaKey{cmd.RelativePath, cmd.Primary}] {
			c.w.failf("P5: %s is put in doubt for %s (%s), and nobody has changed it", d.Storage, cmd.RelativePath, d.What)
		}
	}
}

// verifies compares the replicas of one repository after the other, as long as the instance lives.
func (d *driver) verifies(t *task) {
	for {
		t.sleep(d.in.w.between(300*time.Millisecond, 2*time.Second))
		path := pick(d.in.w, d.in.w.paths...)
		if err := d.examine(t, path); err != nil {
			d.in.w.tracef("%s: %s is not verified: %v", d.in.name, path, err)
		}
	}
}

// examine compares the replicas of a repository, and once more under the repair lock if they differ.
func (d *driver) examine(t *task, path string) error {
	found, err := d.compared(t, d.in.raft.view, path)
	if err != nil || len(found.Differences) == 0 {
		return err
	}
	r, err := d.begin(t, path, d.in.w.chance(0.5), opens)
	if err != nil {
		return err
	}
	defer r.end()
	entry := r.view.Entry(key(path))
	if !plan.Unexplained(entry, entry, d.inc) {
		return errBusy
	}
	if found, err = d.compared(t, r.view, path); err != nil || len(found.Differences) == 0 {
		return err
	}
	if !plan.Unexplained(entry, d.in.raft.view.Entry(key(path)), d.inc) {
		return errInvalidated
	}
	if _, err := d.ask(t, r.tk, machine.MarkDoubt{Guard: r.id, Primary: found.Primary, Differences: found.Differences}); err != nil {
		return err
	}
	d.in.worker.enqueue(path)
	return nil
}

// compared looks at the replicas of a repository that are to be like the primary's.
func (d *driver) compared(t *task, view *state.State, path string) (plan.Findings, error) {
	storages, why := plan.Comparable(view.VirtualStorage(virtualStorage), view.Entry(key(path)))
	if why != "" {
		return plan.Findings{}, fmt.Errorf("%w: %s", errBusy, why)
	}
	var seen []plan.Seen
	for _, name := range storages {
		s := plan.Seen{Storage: name, Err: errUnreachable}
		if d.usable(view, name) {
			var found *content
			if found, s.Err = d.in.link(name).look(t, path); s.Err == nil {
				s.Replica = found.replica()
			}
		}
		seen = append(seen, s)
	}
	return plan.Compare(seen), nil
}
