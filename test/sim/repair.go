package sim

import (
	"errors"
	"slices"
	"time"

	"praefect/fsm/state"
	"praefect/proxy/ledger/machine"
	"praefect/replicator/plan"
)

// maxSteps bounds the steps of one repair.
const maxSteps = 6

var (
	errBusy    = errors.New("busy")
	errSpoiled = errors.New("spoiled")
)

// plan decides what to do next about one repository.
func (d *driver) plan(view *state.State, path string, backfilling bool) plan.Plan {
	d.in.sightings.Look(d.in.now(), view.Index)
	return plan.Make(plan.Situation{
		VS: view.VirtualStorage(virtualStorage), Entry: view.Entry(key(path)), Self: d.inc, Backfilling: backfilling,
		Reachable: func(name string) bool { return d.usable(view, name) },
		Left:      func(m *state.Doubt) time.Duration { return d.in.sightings.Left(d.in.now(), m) },
	})
}

// usable reports whether the storage can be called, and is the disk that the
// state speaks of.
func (d *driver) usable(view *state.State, name string) bool {
	l := d.in.link(name)
	vs := view.VirtualStorage(virtualStorage)
	return l != nil && l.conn != nil && vs != nil && vs.Storage(name) != nil && vs.Storage(name).FilesystemID == l.fs
}

// repair does what the ledger says is needed now, step by step. It returns when
// to come back, 0 for never, and the storages that it declared in sync.
func (d *driver) repair(t *task, path string, backfilling bool) (again time.Duration, synced []string, err error) {
	spoilt := 0
	for range maxSteps {
		p := d.plan(d.in.raft.view, path, backfilling)
		var equal []string
		switch p.Action {
		case plan.Rest:
			return 0, synced, nil
		case plan.Wait:
			if p.Wait == 0 {
				return d.in.w.between(500*time.Millisecond, 2*time.Second), synced, nil
			}
			return p.Wait, synced, nil
		case plan.Resolve:
			err = d.resolve(t, path, spoilt > 1)
		case plan.EndAdvance:
			err = d.takeUp(t, path, p, spoilt > 1)
		case plan.Copy:
			equal, err = d.copy(t, path, p, spoilt > 1)
			synced = append(synced, equal...)
		}
		switch {
		case err == nil:
			if p.Action == plan.Copy {
				backfilling = false
			}
		case errors.Is(err, errSpoiled), errors.Is(err, errBusy):
			spoilt++
			t.sleep(d.in.w.between(50*time.Millisecond, 400*time.Millisecond))
		default:
			return 0, synced, err
		}
	}
	return time.Second, synced, nil
}

// take takes the gate of a repository.
func (d *driver) take(t *task, path string, hold bool) (machine.ID, *ticket, error) {
	id, tk := d.id(), &ticket{}
	d.tickets[id] = tk
	d.step(machine.Take{Ticket: id, Key: key(path), Hold: hold})
	if err := tk.answer(t, 2*time.Second); err != nil {
		d.step(machine.Release{Ticket: id, Arrived: true})
		delete(d.tickets, id)
		return 0, nil, err
	}
	return id, tk, nil
}

// answer waits for the machine's Done.
func (tk *ticket) answer(t *task, d time.Duration) error {
	if !t.waitFor(&tk.news, d, func() bool { return tk.done != nil }) {
		return errBusy
	}
	err := tk.done.Err
	var refusal *state.Refusal
	switch {
	case errors.Is(err, machine.ErrBusy), errors.Is(err, machine.ErrUnknown):
		return errBusy
	case errors.Is(err, machine.ErrSpoiled):
		return errSpoiled
	case errors.As(err, &refusal):
		return errSpoiled
	}
	return err
}

// ask brings an event of a ticket to the machine and waits for the answer.
func (d *driver) ask(t *task, tk *ticket, e machine.Event) (*state.State, error) {
	tk.done = nil
	d.step(e)
	if err := tk.answer(t, -1); err != nil {
		return nil, err
	}
	return tk.done.View, nil
}

func (d *driver) release(id machine.ID, arrived bool) {
	d.step(machine.Release{Ticket: id, Arrived: arrived})
	delete(d.tickets, id)
}

// copy makes the targets equal to the primary.
func (d *driver) copy(t *task, path string, p plan.Plan, hold bool) (synced []string, err error) {
	const limit = 3 * time.Second
	id, tk, err := d.take(t, path, hold)
	if err != nil {
		return nil, err
	}
	deadline := d.in.now() + limit
	view, err := d.ask(t, tk, machine.OpenIntent{Ticket: id, Scope: state.Scope{BoundMillis: limit.Milliseconds(), Targets: p.Targets}})
	if err != nil {
		d.release(id, true)
		return nil, err
	}
	marked := tk.done.At
	wanted := p.Targets
	p = d.plan(view, path, false)
	p.Targets = slices.DeleteFunc(p.Targets, func(name string) bool { return !slices.Contains(wanted, name) })
	if p.Action != plan.Copy || len(p.Targets) == 0 {
		d.release(id, true)
		return nil, nil
	}
	d.in.w.cov.Repairs++
	// Dated when the mark was answered under a lease.
	dated := d.in.w.wall() - (d.in.now() - marked)
	equal, arrived, err := d.equalise(t, path, view, p, deadline, dated)
	if err == nil && len(equal) > 0 {
		_, err = d.ask(t, tk, machine.Declare{Ticket: id, Storages: equal})
	}
	t.pause()
	d.release(id, arrived)
	if err != nil {
		return nil, err
	}
	return equal, nil
}

// equalise makes each target equal to the primary, and returns those with which
// it succeeded; arrived tells that nothing of it can happen any more.
func (d *driver) equalise(t *task, path string, view *state.State, p plan.Plan, deadline, dated time.Duration) (equal []string, arrived bool, err error) {
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
		c := call{path: path, timeout: max(0, deadline-d.in.now()), dated: dated}
		switch verb {
		case plan.VerbNone:
			equal = append(equal, name)
			continue
		case plan.VerbCopy:
			c.verb, c.source = verbReplicate, d.in.link(p.Primary).st
		case plan.VerbRemove:
			c.verb = verbRemove
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
		o := call.wait(t)
		arrived = arrived && o.arrived
		if o.err == nil {
			o.err = d.verify(t, path, p.Primary, p.Targets[i])
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

// keepers are those of the storages that have the repository.
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
func (d *driver) resolve(t *task, path string, hold bool) error {
	id, tk, err := d.take(t, path, hold)
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
	p := d.plan(view, path, false)
	if p.Action != plan.Resolve {
		return nil
	}
	s, err := d.compare(t, path, p)
	if err != nil {
		return err
	}
	if _, err := d.ask(t, tk, machine.ResolveDoubt{Ticket: id, Resolution: s}); err != nil {
		return err
	}
	return nil
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
	if !p.RefsOnly {
		return s, nil
	}
	for _, name := range others {
		if c, err := d.in.link(name).look(t, path); err == nil && authority.equal(c) {
			s.Equal = append(s.Equal, name)
		}
	}
	return s, nil
}
