package sim

import (
	"cmp"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"praefect/fsm/state"
	"praefect/proxy/ledger/machine"
	"praefect/replicator/plan"
)

// errRuined fails each call that is to change a replica onto which nothing can be written, as git
// fails where a lock was left or objects are damaged.
var errRuined = errors.New("the replica cannot be written to")

// Settings of the rules about such replicas; shorter than in truth, as is all else.
const (
	remakeAfter     = 2
	remakeMost      = 3
	remakeLimit     = 1
	ruinedStepsDown = 2 // writes in a row that failed at a primary
	remakeAgain     = 20 * time.Second
)

// ruins tells in which schedules replicas are ruined. It draws from nothing: all other
// schedules stay as they are.
func ruins(seed uint64) bool {
	return seed%32 == 20 || seed%32 == 19 && seed%128 != 83 // which finds another planted defect
}

// ruinReplicas ruins replicas, one after the other, until the faults are over.
func (w *simulation) ruinReplicas() {
	if !ruins(w.seed) {
		return
	}
	draw := rand.New(rand.NewPCG(w.seed, 17))
	w.ruining = draw
	w.repeat(draw, 0, 2*time.Second, func() { w.ruin(pickOf(draw, w.storages...), pickOf(draw, w.paths...)) })
}

// ruin has nothing that is written to a replica succeed from now on. While storages are
// compared with the only one that serves, it would take a person to mend that one.
func (w *simulation) ruin(s *storage, path string) {
	vs := w.history.last().VirtualStorage(virtualStorage)
	if vs == nil || s.disk.repos[path] == nil || s.disk.ruined[path] ||
		slices.ContainsFunc(vs.Succession, func(st state.Storage) bool { return st.Uncompared != "" }) {
		return
	}
	if s.disk.ruined == nil {
		s.disk.ruined = make(map[string]bool)
	}
	s.disk.ruined[path] = true
	w.cov.Ruined++
	w.tracef("%s: %s is ruined", s.name, path)
}

// replicaKey names a replica.
type replicaKey struct{ path, storage string }

// troubles is the memory of one life of an instance of replicas that fail.
type troubles struct {
	copies, writes map[replicaKey]int
	remade         map[replicaKey]time.Duration // when
	running        int
}

func newTroubles() *troubles {
	return &troubles{copies: make(map[replicaKey]int), writes: make(map[replicaKey]int), remade: make(map[replicaKey]time.Duration)}
}

// copied notes how a copy ended.
func (tr *troubles) copied(path, storage string, err error) {
	k := replicaKey{path, storage}
	switch {
	case err == nil:
		delete(tr.copies, k)
		delete(tr.remade, k)
	case errors.Is(err, errRuined):
		tr.copies[k]++
	}
}

// failing counts the replicas of a storage that fail and are behind.
func (tr *troubles) failing(view *state.State, storage string) (n int) {
	for k, copies := range tr.copies {
		if k.storage == storage && copies >= remakeAfter && view.Entry(key(k.path)).IsBehind(storage) {
			n++
		}
	}
	return n
}

// remake has the state permit that the targets of a copy are removed first which cannot be
// repaired in place. It returns them, and the targets for the copy.
func (d *driver) remake(t *task, r *repairing, p plan.Plan) (again, targets []string, err error) {
	path, view := r.path, r.view
	for _, target := range p.Targets {
		k := replicaKey{path, target}
		at, remade := d.troubles.remade[k]
		decision, why := plan.Remaking{
			VS: view.VirtualStorage(virtualStorage), Entry: view.Entry(key(path)), Target: target, Source: p.Primary,
			Copies: d.troubles.copies[k], After: remakeAfter, Remade: remade && d.in.now()-at < remakeAgain,
			Failing: d.troubles.failing(view, target), Most: remakeMost, Running: d.troubles.running + len(again), Limit: remakeLimit,
		}.Decide()
		switch decision {
		case plan.RemakeLater:
			continue
		case plan.RemakeNow:
			if _, err := d.ask(t, r.tk, machine.Remake{Guard: r.id, Storage: target, Why: why}); err != nil {
				return nil, nil, err
			}
			again = append(again, target)
		}
		targets = append(targets, target)
	}
	return again, targets, nil
}

// removeFirst removes a replica, before it is copied from nothing.
func (d *driver) removeFirst(t *task, path, target string, timeout, dated time.Duration) (arrived bool, err error) {
	d.troubles.running++
	defer func() { d.troubles.running-- }()
	o := d.in.link(target).ask(t, call{verb: verbRemove, path: path, timeout: timeout, dated: dated, remakes: true})
	if o.arrived && o.err == nil {
		d.in.w.cov.Remakes++
		delete(d.troubles.copies, replicaKey{path, target})
		d.troubles.remade[replicaKey{path, target}] = d.in.now()
	}
	return o.arrived, o.err
}

// wrote notes how a write ended at its primary, which steps down after enough in a row
// that failed because of its replica, or that other storages could do.
func (d *driver) wrote(path, primary string, err error, votes *transaction) {
	k := replicaKey{path, primary}
	alone := idle(d.in.w.seed) && votes != nil && votes.votes.PrimaryFailed()
	if alone {
		d.in.w.cov.FailedAlone++
	}
	if !errors.Is(err, errRuined) && !alone {
		if err == nil {
			delete(d.troubles.writes, k)
		}
		return
	}
	if d.troubles.writes[k]++; d.troubles.writes[k] < ruinedStepsDown {
		return
	}
	delete(d.troubles.writes, k)
	d.in.run(func(t *task) {
		for range 5 {
			err := d.stepDown(t, path, primary)
			if !errors.Is(err, errBusy) && !errors.Is(err, errInvalidated) {
				return
			}
			t.sleep(d.in.w.between(50*time.Millisecond, 400*time.Millisecond))
		}
	})
}

// stepDown has a primary put behind, and its replica removed.
func (d *driver) stepDown(t *task, path, primary string) error {
	const limit = 2 * time.Second
	id, tk, err := d.acquire(t, path, true)
	if err != nil {
		return err
	}
	arrived := true
	defer func() {
		if d.in.up {
			d.release(id, arrived)
		}
	}()
	deadline := d.in.now() + limit
	targets, hasty := []string{primary}, ""
	if d.in.w.ruining.IntN(4) == 0 { // no matter which target is asked for, the state permits no removal of a replica in sync
		view := d.in.raft.view
		for st := range view.VirtualStorage(virtualStorage).InSync(view.Entry(key(path))) {
			if st.Name != primary && st.State == state.Serving {
				targets, hasty = []string{st.Name}, st.Name
			}
		}
	}
	view, err := d.ask(t, tk, machine.OpenIntent{Guard: id, Scope: state.Scope{BoundMillis: limit.Milliseconds(), Targets: targets}})
	if err != nil {
		return err
	}
	dated := d.in.w.wall() - (d.in.now() - tk.done.At)
	if p, _ := view.PrimaryOf(key(path)); p.Name != primary {
		return nil
	}
	target := cmp.Or(hasty, primary)
	if hasty == "" {
		if _, err := d.ask(t, tk, machine.StepDown{Guard: id, Storage: primary, Why: "ruined"}); err != nil {
			return err
		}
	}
	if _, err := d.ask(t, tk, machine.Remake{Guard: id, Storage: target, Why: "ruined"}); err != nil {
		return nil // it is behind, and is repaired as any other
	}
	t.pause()
	arrived, err = d.removeFirst(t, path, target, max(0, deadline-d.in.now()), dated)
	d.in.worker.enqueue(path)
	return err
}

// remade checks, before a replica is removed to be made again, that it is not the only one
// with all that was acknowledged (P3), and that it is not in sync.
func (c *check) remade(s *storage, path string) {
	latest := c.w.history.last()
	vs := latest.VirtualStorage(virtualStorage)
	if vs == nil || vs.Storage(s.name) == nil {
		return
	}
	if e := latest.Entry(key(path)); !e.IsBehind(s.name) && vs.Storage(s.name).State == state.Serving {
		c.w.failf("P3: %s of %s is removed to be made again, and is in sync", path, s.name)
	}
	found := func(o *storage) bool { return c.must(o.disk.repos[path], c.repos[path].acked) == nil }
	if found(s) && !slices.ContainsFunc(c.w.storages, func(o *storage) bool { return o != s && found(o) }) {
		c.w.failf("P3: %s of %s is removed to be made again, and is the only replica with all that was acknowledged", path, s.name)
	}
	before := s.disk.repos[path]
	if before == nil {
		return
	}
	for _, o := range before.ops {
		elsewhere := func(other *storage) bool { return other != s && other.disk.repos[path].has(o) }
		if wr := c.ops[o]; wr.found && !wr.removed && !wr.lost && !slices.ContainsFunc(c.w.storages, elsewhere) {
			c.w.failf("P3: %s of %s is removed to be made again, and with it op %d, which it came with", path, s.name, o)
		}
	}
}

// steppedDown checks that the successor of a primary that stepped down has all that was
// acknowledged (P3).
func (c *check) steppedDown(cmd *state.StepDown) {
	c.w.cov.StepDowns++
	latest := c.w.history.last()
	p, ok := latest.PrimaryOf(cmd.Key)
	if !ok {
		c.w.failf("P3: %s has stepped down for %s, which has no primary", cmd.Storage, cmd.RelativePath)
		return
	}
	if found, onDisk := c.onDisk(&p, cmd.RelativePath); onDisk {
		if wr := c.must(found, c.repos[cmd.RelativePath].acked); wr != nil {
			c.w.failf("P3: %s has stepped down for %s, which lacks op %d of %s", cmd.Storage, p.Name, wr.op, cmd.RelativePath)
		}
	}
}
