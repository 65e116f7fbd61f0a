package sim

import (
	"time"

	"praefect/fsm/state"
	"praefect/proxy/ledger/machine"
)

// request is one call of a client at an instance.
type request struct {
	op      op
	path    string
	pool    string // a second repository of the same write, or ""
	deletes bool
	timeout time.Duration
	// done is called once, unless the instance dies.
	done func(answered)
}

// answered is what a client gets.
type answered struct {
	err error
	// decided is when an acknowledgement was decided upon, true time.
	decided time.Duration
	// marked tells that a read may be old.
	marked bool
	found  *content
}

func key(path string) state.Key {
	return state.Key{VirtualStorage: virtualStorage, RelativePath: path}
}

// write handles a write, as the proxy does: the machine lets it pass, the call
// is forwarded over the connection that it named, and the status goes to the
// client last.
func (d *driver) write(t *task, r *request) {
	in := d.in
	deadline := in.now() + r.timeout
	id, p := d.id(), &passage{}
	d.writes[id] = p
	keys := []state.Key{key(r.path)}
	if r.pool != "" {
		keys = append(keys, key(r.pool))
	}
	d.step(machine.Begin{
		Write: id, Keys: keys, Deletes: r.deletes,
		Scope: state.Scope{BoundMillis: r.timeout.Milliseconds(), RefsOnly: true},
	})
	for {
		if !t.waitFor(&p.news, deadline-in.now(), func() bool { return p.forward != nil || p.over }) {
			delete(d.writes, id)
			d.step(machine.Cancel{Write: id})
			r.done(answered{err: errDeadline})
			return
		}
		if p.over {
			r.done(answered{err: p.err})
			return
		}
		f := p.forward
		p.forward = nil
		if p.doomed == nil {
			p.call = in.link(f.Storage).call(f.Generation, call{
				verb: r.verb(), path: r.path, pool: r.pool, op: r.op, timeout: max(0, deadline-in.now()), dated: p.dated,
			})
		}
		if p.call != nil || p.doomed != nil {
			break
		}
		d.step(machine.NotSent{Write: id})
	}
	ended := machine.Ended{Write: id, Arrived: true} // if nothing was sent
	var o outcome
	if p.call != nil {
		if p.doomed != nil {
			p.call.cancel(errCanceled)
		}
		o = p.call.wait(t)
		ended.Arrived, ended.Succeeded = o.arrived, o.arrived && o.err == nil
		if !o.arrived {
			in.w.cov.DirtyMarks++
		}
	}
	d.step(ended)
	t.waitFor(&p.news, -1, func() bool { return p.over })
	t.pause()
	switch {
	case p.err != nil:
		if ended.Succeeded {
			in.w.cov.RefusedAcks++
		}
		r.done(answered{err: p.err})
	case o.err != nil:
		r.done(answered{err: o.err})
	default:
		r.done(answered{decided: p.decided})
	}
}

func (r *request) verb() verb {
	if r.deletes {
		return verbDelete
	}
	return verbWrite
}
