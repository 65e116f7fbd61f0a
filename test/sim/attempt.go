package sim

import (
	"time"

	"praefect/fsm/state"
	"praefect/proxy/ledger/machine"
	"praefect/replicator/plan"
	"praefect/replicator/steps"
)

// attempt carries one step of a repair out, and returns the storages that it declared in sync.
func (d *driver) attempt(t *task, path string, p plan.Plan, pause bool) (synced []string, err error) {
	r := &repairing{d: d, path: path, pause: pause, later: make(map[string]time.Duration)}
	step := steps.New(p)
	end := step.Run(func(e steps.Effect) steps.Result { return r.carryOut(t, e) })
	if r.tk == nil {
		return nil, end.Err
	}
	if r.called {
		t.pause()
	}
	d.release(r.id, end.Arrived, step.Doubtful()...)
	if len(end.Synced) > 0 {
		return end.Synced, nil // the next step comes at once, without the delay of a failure
	}
	return nil, end.Err
}

// carryOut carries one effect out.
func (r *repairing) carryOut(t *task, effect steps.Effect) (done steps.Result) {
	d := r.d
	switch e := effect.(type) {
	case steps.Lock:
		r.id, r.tk, done.Err = d.acquire(t, r.path, r.pause)
	case steps.Renew:
		if _, done.Err = d.ask(t, r.tk, machine.Renew{Guard: r.id}); done.Err == nil {
			done.Round = r.tk.done.Round
			d.in.w.cov.Rounds++
		}
	case steps.OpenIntent:
		r.copying = len(e.Targets) > 0
		scope := state.Scope{RefsOnly: true}
		if r.copying {
			scope = state.Scope{BoundMillis: copyLimit.Milliseconds(), Targets: e.Targets}
		}
		if done = r.intent(t, machine.OpenIntent{Guard: r.id, Scope: scope}); done.Err == nil {
			done.Plan = d.plan(r.view, r.path, false)
		}
	case steps.TakeUp:
		done = r.intent(t, machine.Advance{Guard: r.id})
	case steps.Look:
		r.called = r.copying
		done.Has, done.Err = r.look(t, e.Storages)
	case steps.Compare:
		if r.seen != e.Authority {
			if _, done.Err = r.look(t, []string{e.Authority}); done.Err != nil {
				break
			}
		}
		done.Equal = d.equalTo(t, r.path, r.replica, e.Storages)
	case steps.Remake:
		done.Again, done.Targets, done.Err = d.remake(t, r, e.Plan)
	case steps.Copies:
		d.in.w.cov.Repairs++
		for _, target := range e.Plan.Targets {
			r.copies = append(r.copies, r.copy(t, e, target))
		}
	case steps.Await:
		done = r.await(t, e)
	case steps.Declare:
		if _, done.Err = d.ask(t, r.tk, machine.Declare{Guard: r.id, Round: e.Round, Storages: e.Storages}); done.Err == nil && e.Round > 0 {
			d.in.w.cov.Joined++
		}
	case steps.ResolveDoubt:
		_, done.Err = d.ask(t, r.tk, machine.ResolveDoubt{Guard: r.id, Resolution: e.Resolution})
	case steps.EndAdvance:
		_, done.Err = d.ask(t, r.tk, machine.EndAdvance{Guard: r.id, Ending: e.Ending})
	default:
		d.in.w.failf("a step of a repair has an effect %T", e)
	}
	return done
}

// look looks for the repository on the storages, and keeps the replica that it saw last.
func (r *repairing) look(t *task, storages []string) (has []string, err error) {
	for _, name := range storages {
		if r.replica, err = r.d.in.link(name).look(t, r.path); err != nil {
			return nil, err
		}
		if r.seen = name; r.replica != nil {
			has = append(has, name)
		}
	}
	return has, nil
}
