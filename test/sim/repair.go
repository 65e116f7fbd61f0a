package sim

import (
	"errors"
	"slices"
	"time"

	"praefect/fsm/state"
	"praefect/proxy/ledger/machine"
	"praefect/replicator/plan"
)

const (
	// maxSteps bounds the steps of one repair.
	maxSteps = 6
	// waitsForTurn is how often a repair waits for another instance's intent before it asks
	// for its turn.
	waitsForTurn = 3
)

var (
	errBusy        = errors.New("busy")
	errInvalidated = errors.New("invalidated")
)

// plan decides the next step for one repository.
func (d *driver) plan(view *state.State, path string, backfilling bool) plan.Plan {
	return d.planned(view, path, backfilling, false)
}

// planned is plan; turn tells that the other instances are asked to close their intents.
func (d *driver) planned(view *state.State, path string, backfilling, turn bool) plan.Plan {
	d.in.firstSeen.Look(d.in.now(), view.Index)
	return plan.Make(plan.Situation{
		VS: view.VirtualStorage(virtualStorage), Entry: view.Entry(key(path)), Self: d.inc, Backfilling: backfilling, Turn: turn,
		Reachable: func(name string) bool { return d.usable(view, name) },
		Left:      func(m *state.Doubt) time.Duration { return d.in.firstSeen.Left(d.in.now(), m) },
	})
}

// usable reports whether the storage can be called, and is the disk that the
// state speaks of.
func (d *driver) usable(view *state.State, name string) bool {
	l := d.in.link(name)
	vs := view.VirtualStorage(virtualStorage)
	return l != nil && l.conn != nil && vs != nil && vs.Storage(name) != nil && vs.Storage(name).FilesystemID == l.fs
}

// repair does the steps that the ledger now calls for, one after the other. It returns when
// to come back, 0 for never, and the storages that it declared in sync.
func (d *driver) repair(t *task, path string, backfilling bool) (again time.Duration, synced []string, err error) {
	invalidated := 0
	for range maxSteps {
		p := d.plan(d.in.raft.view, path, backfilling)
		if p.Action == plan.Wait && p.For.Reason == plan.LiveIntent {
			d.waits[path]++
		}
		if d.waits[path] > waitsForTurn {
			// Two instances that write would keep it waiting: the repair asks for its turn.
			d.waits[path] = 0
			if asked := d.planned(d.in.raft.view, path, backfilling, true); asked.Action == plan.Copy || asked.Action == plan.Resolve {
				p, invalidated = asked, max(invalidated, 2)
			}
		}
		var equal []string
		switch p.Action {
		case plan.Idle:
			return 0, synced, nil
		case plan.Wait:
			if p.Wait == 0 {
				return d.in.w.between(500*time.Millisecond, 2*time.Second), synced, nil
			}
			return p.Wait, synced, nil
		case plan.Resolve:
			err = d.resolve(t, path, invalidated > 1)
		case plan.EndAdvance:
			err = d.takeUp(t, path, p, invalidated > 1)
		case plan.Copy:
			equal, err = d.copy(t, path, p, invalidated > 1)
			synced = append(synced, equal...)
		}
		switch {
		case err == nil:
			if p.Action == plan.Copy {
				backfilling = false
			}
		case errors.Is(err, errInvalidated), errors.Is(err, errBusy):
			invalidated++
			t.sleep(d.in.w.between(50*time.Millisecond, 400*time.Millisecond))
		default:
			return 0, synced, err
		}
	}
	return time.Second, synced, nil
}

// copy makes the targets equal to the primary.
func (d *driver) copy(t *task, path string, p plan.Plan, pause bool) (synced []string, err error) {
	wanted := p.Targets
	r, err := d.begin(t, path, pause, func(id machine.ID) machine.Event {
		return machine.OpenIntent{Guard: id, Scope: state.Scope{BoundMillis: copyLimit.Milliseconds(), Targets: wanted}}
	})
	if err != nil {
		return nil, err
	}
	p = d.plan(r.view, path, false)
	p.Targets = slices.DeleteFunc(p.Targets, func(name string) bool { return !slices.Contains(wanted, name) })
	if p.Action != plan.Copy || len(p.Targets) == 0 {
		r.end()
		return nil, nil
	}
	d.in.w.cov.Repairs++
	again, targets, err := d.remake(t, r, p)
	if err != nil || len(targets) == 0 {
		r.end()
		return nil, err
	}
	p.Targets = targets
	round := r.round
	equal, arrived, err := r.equalise(t, p, again)
	if err == nil && len(equal) > 0 {
		_, err = d.ask(t, r.tk, machine.Declare{Guard: r.id, Round: round, Storages: equal})
	}
	t.pause()
	d.release(r.id, arrived)
	if err != nil {
		return nil, err
	}
	return equal, nil
}

// equalise makes each target equal to the primary, and returns the targets with which
// it succeeded; arrived tells that nothing of it can happen any more.
func (r *repairing) equalise(t *task, p plan.Plan, again []string) (equal []string, arrived bool, err error) {
	d, path, view := r.d, r.path, r.view
	source, err := d.in.link(p.Primary).look(t, path)
	if err != nil {
		return nil, true, err
	}
	found := plan.Finding{Source: source != nil, Deleted: view.Entry(key(path)).Deleted}
	vs := view.VirtualStorage(virtualStorage)
	arrived = true
	calls := make([]*pending, len(p.Targets))
	for i, name := range p.Targets {
		f := found
		if !f.Source && !f.Deleted {
			has, lookErr := d.in.link(name).look(t, path)
			if lookErr != nil {
				err = lookErr
				continue
			}
			f.Target = has != nil
		}
		verb, chooseErr := plan.Choose(vs.Storage(name), f)
		if chooseErr != nil {
			err = chooseErr
			continue
		}
		c := call{path: path, timeout: max(0, r.deadline-d.in.now()), dated: r.dated}
		switch verb {
		case plan.VerbNone:
			equal = append(equal, name)
			continue
		case plan.VerbCopy:
			c.verb, c.source = verbReplicate, d.in.link(p.Primary).st
		case plan.VerbRemove:
			c.verb = verbRemove
		}
		if verb == plan.VerbCopy && slices.Contains(again, name) {
			gone, removeErr := d.removeFirst(t, path, name, c.timeout, c.dated)
			if arrived = arrived && gone; !gone || removeErr != nil {
				err = removeErr
				continue
			}
			c.timeout = max(0, r.deadline-d.in.now())
		}
		l := d.in.link(name)
		if calls[i] = l.call(l.generation, c); calls[i] == nil {
			err = errLost
		}
	}
	for i, call := range calls {
		if call == nil {
			continue
		}
		arrived = r.beside(t, call, p.Targets) && arrived
		o := call.wait(t)
		arrived = arrived && o.arrived
		if o.err == nil {
			o.err = d.verify(t, path, p.Primary, p.Targets[i])
		}
		if o.arrived {
			d.troubles.copied(path, p.Targets[i], o.err)
		}
		if o.err != nil {
			err = o.err
			continue
		}
		equal = append(equal, p.Targets[i])
	}
	if len(equal) > 0 {
		err = nil
	}
	return equal, arrived, err
}

// keepers are the given storages that have the repository.
func (d *driver) keepers(t *task, path string, storages []string) ([]string, error) {
	var keepers []string
	for _, name := range storages {
		has, err := d.in.link(name).look(t, path)
		if err != nil {
			return nil, err
		}
		if has != nil {
			keepers = append(keepers, name)
		}
	}
	return keepers, nil
}

// resolve accounts for the in-doubt intents whose bound has passed.
func (d *driver) resolve(t *task, path string, pause bool) error {
	r, err := d.begin(t, path, pause, opens)
	if err != nil {
		return err
	}
	defer r.end()
	p := d.plan(r.view, path, false)
	if p.Action != plan.Resolve {
		return nil
	}
	s, err := d.compare(t, path, p)
	if err != nil {
		return err
	}
	_, err = d.ask(t, r.tk, machine.ResolveDoubt{Guard: r.id, Resolution: s})
	return err
}

// compare finds the authority, and which in-sync storages are equal to it.
func (d *driver) compare(t *task, path string, p plan.Plan) (machine.Resolution, error) {
	s := machine.Resolution{Doubts: p.Doubts, Authority: p.Primary}
	authority, err := d.in.link(p.Primary).look(t, path)
	if err != nil {
		return s, err
	}
	others := p.Witnesses
	if authority == nil {
		keepers, err := d.keepers(t, path, p.Witnesses)
		if err != nil {
			return s, err
		}
		if len(keepers) > 0 {
			s.Authority, s.PrimaryLacks, others = keepers[0], true, keepers[1:]
			if authority, err = d.in.link(s.Authority).look(t, path); err != nil {
				return s, err
			}
		}
	}
	if p.RefsOnly {
		s.Equal = d.equalTo(t, path, authority, others)
	}
	return s, nil
}
