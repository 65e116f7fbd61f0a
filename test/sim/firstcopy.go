package sim

import (
	"errors"
	"slices"
	"time"

	"praefect/fsm/state"
	"praefect/proxy/ledger/machine"
	"praefect/replicator/plan"
	"praefect/replicator/steps"
)

// errAgain asks for another comparison.
var errAgain = errors.New("compared once more")

// uncompared are the storages among them that are uncompared.
func (d *driver) uncompared(backfillings []state.Storage) []string {
	var names []string
	vs := d.in.raft.view.VirtualStorage(virtualStorage)
	for _, f := range backfillings {
		if st := vs.Storage(f.Name); st != nil && st.Uncompared != "" {
			names = append(names, f.Name)
		}
	}
	return names
}

// compareAll compares the replicas that the storages came with, and has the state say so.
func (d *driver) compareAll(t *task, backfillings []state.Storage) bool {
	for _, f := range backfillings {
		for _, path := range d.in.w.paths {
			for tries := 0; ; tries++ {
				err := error(nil)
				for _, name := range d.uncompared(backfillings) {
					if err = d.meet(t, path, name); err != nil {
						break
					}
				}
				if err == nil {
					break
				}
				if tries == 8 {
					return false
				}
				t.sleep(d.in.w.between(100*time.Millisecond, 600*time.Millisecond))
			}
		}
		if !slices.Contains(d.uncompared(backfillings), f.Name) {
			continue
		}
		results, err := d.in.proposer.propose(t, d.in.w.setup.timeout, state.Command{Compared: &state.Compared{
			VirtualStorage: virtualStorage, Storage: f.Name, Since: f.Since,
		}})
		if err != nil || results[0].Refusal != nil {
			return false
		}
	}
	return true
}

// newcomer is the finding of calls.meet.
func (d *driver) newcomer(t *task, path, primary, storage string) (plan.Newcomer, error) {
	there, err := d.in.link(storage).look(t, path)
	if err != nil || there == nil {
		return plan.Newcomer{}, err
	}
	here, err := d.in.link(primary).look(t, path)
	if err != nil {
		return plan.Newcomer{}, err
	}
	return plan.Newcomer{
		Has: true, PrimaryHas: here != nil, Contained: here != nil && here.contains(there), Contains: there.contains(here),
	}, nil
}

// meet compares a storage's replica with the primary's, and takes the step that follows.
func (d *driver) meet(t *task, path, storage string) error {
	view := d.in.raft.view
	vs, entry := view.VirtualStorage(virtualStorage), view.Entry(key(path))
	if vs == nil || vs.Storage(storage) == nil {
		return nil
	}
	if entry != nil && entry.Advancing != "" {
		d.repair(t, path, false)
		return errAgain
	}
	primary, ok := vs.Primary(entry)
	if !ok {
		c, err := d.in.link(storage).look(t, path)
		if err != nil || c == nil || entry.InConflict(storage) {
			return err
		}
		return d.conflict(t, path, storage)
	}
	n, err := d.newcomer(t, path, primary.Name, storage)
	if err != nil {
		return err
	}
	n.Founding, n.Clean = vs.Storage(storage).Uncompared == state.UncomparedFounding, entry == nil
	switch plan.Meet(n) {
	case plan.FirstAdvance:
		return d.advance(t, path, primary.Name, storage)
	case plan.FirstConflict:
		return d.conflict(t, path, storage)
	}
	if entry.InConflict(storage) {
		return d.conflict(t, path, storage)
	}
	return nil
}

// conflict compares once more, while writes wait, and records the result.
func (d *driver) conflict(t *task, path, storage string) error {
	r, err := d.begin(t, path, true, opens)
	if err != nil {
		return err
	}
	defer r.end()
	vs, entry := r.view.VirtualStorage(virtualStorage), r.view.Entry(key(path))
	if vs == nil || vs.Storage(storage) == nil {
		return nil
	}
	conflicts := slices.DeleteFunc(slices.Clone(entry.Conflicts), func(c state.Conflict) bool { return c.Storage == storage })
	found, decision := state.Conflict{Storage: storage}, plan.FirstConflict
	if primary, ok := vs.Primary(entry); ok {
		n, err := d.newcomer(t, path, primary.Name, storage)
		if err != nil {
			return err
		}
		decision, found.Primary = plan.Meet(n), primary.Name
	}
	if decision == plan.FirstConflict {
		conflicts = append(conflicts, found)
	} else if !entry.InConflict(storage) {
		return nil
	}
	_, err = d.ask(t, r.tk, machine.Conflict{Guard: r.id, Conflicts: conflicts})
	return err
}

// advance copies a storage's replica onto the primary's, which it contains.
func (d *driver) advance(t *task, path, primary, source string) error {
	r, err := d.begin(t, path, true, func(id machine.ID) machine.Event {
		return machine.Advance{
			Guard: id, Source: source, Scope: state.Scope{BoundMillis: copyLimit.Milliseconds(), Targets: []string{primary}},
		}
	})
	if err != nil {
		return err
	}
	arrived, problem := r.pull(t, primary, source)
	if arrived {
		ending := steps.Ending(r.view.VirtualStorage(virtualStorage), r.view.Entry(key(path)))
		problem = errors.Join(problem, ending.Run(func(e steps.Effect) steps.Result { return r.carryOut(t, e) }).Err)
	}
	t.pause()
	d.release(r.id, arrived)
	d.in.worker.enqueue(path)
	if problem != nil {
		return problem
	}
	d.in.w.cov.Advances++
	return errAgain
}

// pull makes the primary's replica equal to the source's.
func (r *repairing) pull(t *task, primary, source string) (arrived bool, err error) {
	d, path, view := r.d, r.path, r.view
	if now, _ := view.VirtualStorage(virtualStorage).Primary(view.Entry(key(path))); now.Name != primary {
		return true, errAgain
	}
	n, err := d.newcomer(t, path, primary, source)
	if err != nil {
		return true, err
	}
	n.Founding, n.Clean = true, true
	if plan.Meet(n) != plan.FirstAdvance {
		return true, errAgain
	}
	o := d.in.link(primary).ask(t, call{
		verb: verbReplicate, path: path, source: d.in.link(source).st, advances: true, timeout: max(0, r.deadline-d.in.now()), dated: r.dated,
	})
	if o.err != nil {
		return o.arrived, o.err
	}
	return true, d.verify(t, path, source, primary)
}

// verify compares a target with its source after a copy.
func (d *driver) verify(t *task, path, source, target string) error {
	want, err := d.in.link(source).look(t, path)
	if err != nil {
		return err
	}
	got, err := d.in.link(target).look(t, path)
	if err != nil {
		return err
	}
	if what := plan.Unlike(want.replica(), got.replica()); what != "" {
		d.in.w.cov.UnlikeCopies++
		return &plan.UnlikeError{Storage: target, Source: source, What: what}
	}
	return nil
}
