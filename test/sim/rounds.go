package sim

import (
	"slices"
	"time"

	"praefect/replicator/plan"
	"praefect/replicator/steps"
)

const (
	// joinAfter is how long a copy lasts before its repair looks for other work that is due.
	joinAfter = 150 * time.Millisecond
	// laterBy is how long the next copy onto a target is put off beside other copies.
	laterBy = 500 * time.Millisecond
)

// rounds tells in which schedules repairs have further rounds. It draws from nothing: all other
// schedules stay as they are.
func rounds(seed uint64) bool {
	switch seed % 32 {
	case 15, 26, 30, 31:
		return true
	}
	return false
}

// copying is a copy onto one target.
type copying struct {
	steps.Copied
	source string
	call   *pending // nil: it has ended
}

// copy begins to make one target equal to the primary.
func (r *repairing) copy(t *task, e steps.Copies, target string) copying {
	d, l, found := r.d, r.d.in.link(target), e.Found
	c := copying{Copied: steps.Copied{Target: target, Ended: true}, source: e.Plan.Primary}
	if !found.Source && !found.Deleted {
		has, err := l.look(t, r.path)
		if c.Err = err; err != nil {
			return c
		}
		found.Target = has != nil
	}
	verb, err := plan.Choose(r.view.VirtualStorage(virtualStorage).Storage(target), found)
	if c.Err = err; err != nil || verb == plan.VerbNone {
		return c
	}
	request := call{verb: verbRemove, path: r.path, timeout: max(0, r.deadline-d.in.now()), dated: r.dated}
	if verb == plan.VerbCopy {
		request.verb, request.source = verbReplicate, d.in.link(c.source).st
		if slices.Contains(e.Again, target) {
			if c.Ended, c.Err = d.removeFirst(t, r.path, target, request.timeout, request.dated); !c.Ended || c.Err != nil {
				return c
			}
			request.timeout = max(0, r.deadline-d.in.now())
		}
	}
	if c.call = l.call(l.generation, request); c.call == nil {
		c.Err = errLost
	}
	return c
}

// await waits for the copies in the order in which they began. In schedules with rounds it looks for
// other work that is due. It stops no copy: a repair whose conclusion has no answer waits for them.
func (r *repairing) await(t *task, e steps.Await) (done steps.Result) {
	d := r.d
	for _, target := range e.Later {
		r.later[target] = d.in.now() + laterBy
	}
	for len(r.copies) > 0 {
		c := r.copies[0]
		if c.call != nil && rounds(d.in.w.seed) && !c.call.reply.wait(t, joinAfter) {
			if len(done.Ended) == 0 {
				done.Due, done.Plan = true, r.due()
			}
			return done
		}
		r.copies = r.copies[1:]
		done.Ended = append(done.Ended, r.copied(t, c))
	}
	return done
}

// copied waits for the end of a copy, and compares the target with its source.
func (r *repairing) copied(t *task, c copying) steps.Copied {
	if c.call == nil {
		return c.Copied
	}
	o := c.call.wait(t)
	if o.err == nil {
		o.err = r.d.verify(t, r.path, c.source, c.Target)
	}
	if o.arrived {
		r.d.troubles.copied(r.path, c.Target, o.err)
	}
	return steps.Copied{Target: c.Target, Ended: o.arrived, Err: o.err}
}

// due is the plan for the work that has become due.
func (r *repairing) due() plan.Plan {
	p := r.d.plan(r.d.in.raft.view, r.path, false)
	p.Targets = slices.DeleteFunc(p.Targets, func(target string) bool { return r.d.in.now() < r.later[target] })
	return p
}
