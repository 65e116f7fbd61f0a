package sim

import (
	"slices"
	"time"

	"praefect/fsm/state"
	"praefect/proxy/ledger/machine"
	"praefect/replicator/plan"
)

// joinAfter is how long a copy lasts before its repair looks for other steps that are due.
const joinAfter = 150 * time.Millisecond

// rounds tells in which schedules repairs have further rounds. It draws from nothing: all other
// schedules stay as they are.
func rounds(seed uint64) bool {
	switch seed % 32 {
	case 15, 26, 30, 31:
		return true
	}
	return false
}

// beside waits for the end of a call, and does the steps that become due meanwhile, in further
// rounds. arrived tells that nothing of them can happen any more.
func (r *repairing) beside(t *task, call *pending, targets []string) (arrived bool) {
	arrived = true
	if r.nested || !rounds(r.d.in.w.seed) {
		return arrived
	}
	for !t.waitFor(&call.reply.ready, joinAfter, func() bool { return call.reply.done }) {
		arrived = r.join(t, targets) && arrived
	}
	return arrived
}

// join copies onto the storages that have fallen behind since the copies onto the targets began, or
// resolves a doubt, in a round of its own.
func (r *repairing) join(t *task, targets []string) (arrived bool) {
	d := r.d
	p := d.plan(d.in.raft.view, r.path, false)
	p.Targets = slices.DeleteFunc(p.Targets, func(name string) bool { return slices.Contains(targets, name) })
	if p.Action != plan.Resolve && (p.Action != plan.Copy || len(p.Targets) == 0) {
		return true
	}
	r.tk.done = nil
	d.step(machine.Renew{Guard: r.id})
	if r.tk.answer(t, -1) != nil {
		return true
	}
	r.round = r.tk.done.Round
	d.in.w.cov.Rounds++
	if p.Action == plan.Resolve {
		view, err := d.ask(t, r.tk, opens(r.id))
		if err != nil {
			return true
		}
		if p = d.plan(view, r.path, false); p.Action != plan.Resolve {
			return true
		}
		s, err := d.compare(t, r.path, p)
		if err == nil {
			_, err = d.ask(t, r.tk, machine.ResolveDoubt{Guard: r.id, Resolution: s})
		}
		if err != nil {
			d.in.w.tracef("%s: nothing is resolved beside a copy of %s: %v", d.in.name, r.path, err)
		}
		return true
	}
	wanted, next := p.Targets, *r
	next.deadline = d.in.now() + copyLimit
	view, err := d.ask(t, r.tk, machine.OpenIntent{Guard: r.id, Scope: state.Scope{BoundMillis: copyLimit.Milliseconds(), Targets: wanted}})
	if err != nil {
		return true
	}
	next.nested = true
	next.view, next.dated = view, d.in.w.wall()-(d.in.now()-r.tk.done.At)
	p = d.plan(view, r.path, false)
	p.Targets = slices.DeleteFunc(p.Targets, func(name string) bool { return !slices.Contains(wanted, name) })
	if p.Action != plan.Copy || len(p.Targets) == 0 {
		return true
	}
	equal, arrived, err := next.equalise(t, p, nil)
	if err == nil && len(equal) > 0 {
		if _, err = d.ask(t, r.tk, machine.Declare{Guard: r.id, Round: r.round, Storages: equal}); err == nil {
			d.in.w.cov.Joined++
		}
	}
	return arrived
}
