package sim

import (
	"errors"
	"slices"
	"time"

	"praefect/fsm/state"
	"praefect/proxy/ledger/machine"
	"praefect/replicator/plan"
)

// errAgain asks for another comparison.
var errAgain = errors.New("compared once more")

// uncompared are those of the storages that are.
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

// compareAll compares what the storages came with, and has the state say so.
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
		results, err := d.in.proposer.propose(t, d.in.w.setup.patience, state.Command{Compared: &state.Compared{
			VirtualStorage: virtualStorage, Storage: f.Name, Since: f.Since,
		}})
		if err != nil || results[0].Refusal != nil {
			return false
		}
	}
	return true
}

// newcomer is what calls.meet finds.
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

// meet compares a storage's replica with the primary's, and does what follows.
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

// conflict compares once more, while writes wait, and records what comes of it.
func (d *driver) conflict(t *task, path, storage string) error {
	id, tk, err := d.take(t, path, true)
	if err != nil {
		return err
	}
	defer func() {
		if d.in.up {
			d.release(id, true)
		}
	}()
	view, err := d.ask(t, tk, machine.OpenIntent{Ticket: id, Scope: state.Scope{RefsOnly: true}})
	if err != nil {
		return err
	}
	vs, entry := view.VirtualStorage(virtualStorage), view.Entry(key(path))
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
	_, err = d.ask(t, tk, machine.Conflict{Ticket: id, Conflicts: conflicts})
	return err
}

// advance copies a storage's replica onto the primary's, which it contains.
func (d *driver) advance(t *task, path, primary, source string) error {
	const limit = 3 * time.Second
	id, tk, err := d.take(t, path, true)
	if err != nil {
		return err
	}
	deadline := d.in.now() + limit
	view, err := d.ask(t, tk, machine.Advance{
		Ticket: id, Source: source, Scope: state.Scope{BoundMillis: limit.Milliseconds(), Targets: []string{primary}},
	})
	if err != nil {
		d.release(id, true)
		return err
	}
	dated := d.in.w.wall() - (d.in.now() - tk.done.At)
	arrived, problem := d.pull(t, path, view, primary, source, deadline, dated)
	if arrived {
		problem = errors.Join(problem, d.endAdvance(t, id, tk, path, view, nil))
	}
	t.pause()
	d.release(id, arrived)
	d.in.worker.enqueue(path)
	if problem != nil {
		return problem
	}
	d.in.w.cov.Advances++
	return errAgain
}

// pull makes the primary's replica equal to the source's.
func (d *driver) pull(t *task, path string, view *state.State, primary, source string, deadline, dated time.Duration) (arrived bool, err error) {
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
	l := d.in.link(primary)
	p := l.call(l.generation, call{
		verb: verbReplicate, path: path, source: d.in.link(source).st, advances: true, timeout: max(0, deadline-d.in.now()), dated: dated,
	})
	if p == nil {
		return true, errLost
	}
	o := p.wait(t)
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

// takeUp accounts for an advance that was interrupted.
func (d *driver) takeUp(t *task, path string, p plan.Plan, hold bool) error {
	id, tk, err := d.take(t, path, hold)
	if err != nil {
		return err
	}
	defer func() {
		if d.in.up {
			d.release(id, true)
		}
	}()
	view, err := d.ask(t, tk, machine.Advance{Ticket: id})
	if err != nil {
		return err
	}
	return d.endAdvance(t, id, tk, path, view, p.Doubts)
}

// endAdvance accounts for an advance that is over.
func (d *driver) endAdvance(t *task, id machine.ID, tk *ticket, path string, view *state.State, doubts []state.DoubtRef) error {
	ending := machine.Ending{Doubts: doubts}
	var others []string
	for st := range view.VirtualStorage(virtualStorage).InSync(view.Entry(key(path))) {
		if ending.Primary == "" {
			ending.Primary = st.Name
		} else if st.State == state.Serving {
			others = append(others, st.Name)
		}
	}
	if len(others) > 0 {
		authority, err := d.in.link(ending.Primary).look(t, path)
		if err != nil {
			return err
		}
		for _, name := range others {
			if c, err := d.in.link(name).look(t, path); err == nil && authority.equal(c) {
				ending.Equal = append(ending.Equal, name)
			}
		}
	}
	_, err := d.ask(t, tk, machine.EndAdvance{Ticket: id, Ending: ending})
	return err
}
