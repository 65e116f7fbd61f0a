package sim

import (
	"time"

	"praefect/fsm/state"
	"praefect/proxy/ledger/machine"
)

// request is one call of a client at an instance.
type request struct {
	ops     []op // one for each change of the write
	path    string
	pool    string // a second repository, which the write only reads, or ""
	deletes bool
	votes   bool // it can
	timeout time.Duration
	// done is called once, unless the instance dies.
	done func(answered)
}

// answered is the answer to a client.
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
	var reads []state.Key
	if r.pool != "" {
		reads = append(reads, key(r.pool))
	}
	d.step(machine.Begin{
		Write: id, Keys: []state.Key{key(r.path)}, Reads: reads, Deletes: r.deletes, Votes: r.votes,
		Scope: state.Scope{BoundMillis: r.timeout.Milliseconds(), RefsOnly: true},
	})
	var o outcome
	var ended machine.Ended
	for {
		if !t.waitFor(&p.news, deadline-in.now(), func() bool { return p.forward != nil || p.over }) {
			// The machine gets the newest view with this, and may admit the write by it, or end it.
			d.step(machine.Cancel{Write: id})
			if p.forward != nil {
				d.step(machine.Ended{Write: id, Arrived: true})
			}
			delete(d.writes, id)
			r.done(answered{err: errDeadline})
			return
		}
		if p.over {
			r.done(answered{err: p.err})
			return
		}
		f := p.forward
		p.forward = nil
		pass := d.passPrimaryOnly
		if f.Votes {
			pass = d.passVoting
		}
		var over bool
		if o, ended, over = pass(t, r, p, *f, deadline); over {
			break
		}
		p.doomed, p.dropped, p.branches, p.votes = nil, nil, nil, nil
		d.step(machine.NotSent{Write: id, Connected: o.arrived})
	}
	if !ended.Arrived {
		in.w.cov.InDoubtIntents++
	}
	d.wrote(r.path, p.sent.Storage, o.err, p.votes)
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
	case o.nothing:
		r.done(answered{err: errNothing})
	default:
		r.done(answered{decided: p.decided})
	}
}

// passPrimaryOnly sends a write to its primary alone, and waits until it has ended. It
// returns false if it was not sent.
func (d *driver) passPrimaryOnly(t *task, r *request, p *passage, f machine.Forward, deadline time.Duration) (o outcome, ended machine.Ended, over bool) {
	in := d.in
	ended = machine.Ended{Write: f.Write, Arrived: true}
	if p.doomed != nil {
		return o, ended, true
	}
	c := in.link(f.Storage).call(f.Generation, call{
		verb: r.verb(), path: r.path, pool: r.pool, ops: r.ops, timeout: max(0, deadline-in.now()), dated: p.dated,
	})
	if c == nil {
		return o, ended, false
	}
	p.branches = []branch{{storage: f.Storage, call: c}}
	if p.doomed != nil { // the call paused the process
		c.cancel(errCanceled)
	}
	o = c.wait(t)
	ended.Arrived, ended.Succeeded = o.arrived, o.arrived && o.err == nil
	return o, ended, true
}

// paths are the repositories that the write changes.
func (r *request) paths() []string { return []string{r.path} }

func (r *request) verb() verb {
	if r.deletes {
		return verbDelete
	}
	return verbWrite
}
