package sim

import (
	"slices"
	"time"

	"praefect/proxy/ledger/machine"
	"praefect/proxy/transaction/quorum"
)

// branch is the call of a write at one of its destinations.
type branch struct {
	storage string
	call    *pending // nil if it was not sent
	waits   bool     // for its turn to be sent, or sent again
}

// endedWell tells that the storage has said so.
func (l *branch) endedWell() bool {
	return l.call != nil && l.call.reply.value.arrived && l.call.reply.value.err == nil
}

func (l *branch) ended() bool { return !l.waits && (l.call == nil || l.call.ended) }

// passVoting sends a write to all its destinations, as the proxy does, and waits
// until it has ended everywhere. It returns false if the primary was lost while
// nothing had happened: then the write goes another way.
func (d *driver) passVoting(t *task, r *request, p *passage, f machine.Forward, deadline time.Duration) (o outcome, ended machine.Ended, over bool) {
	in := d.in
	in.w.cov.VotingWrites++
	began := in.now()
	destinations := append([]machine.Destination{{Storage: f.Storage, Generation: f.Generation}}, f.Others...)
	var voters []voter
	for _, to := range destinations {
		voters = append(voters, voter{to.Storage, in.link(to.Storage).over(to.Generation)})
	}
	tx := d.beginVotes(r, f, voters)
	p.votes, p.branches = tx, nil
	branches := make([]branch, len(destinations))
	p.branches = branches
	send := func(n int) {
		l, to := &branches[n], destinations[n]
		l.waits = false
		l.call = in.link(to.Storage).call(to.Generation, call{
			verb: verbWrite, path: r.path, pool: r.pool, ops: r.ops, tx: tx, timeout: max(0, deadline-in.now()), dated: p.dated,
		})
		if l.call == nil {
			tx.leave(to.Storage)
			return
		}
		sent := l.call
		l.call.left = func() {
			// ▲ stream-repeats-the-living: Without a status the call may go on: it is not sent
			// again.
			if l.waits = n > 0 && sent.reply.value.arrived; l.waits {
				tx.ready(to.Storage)
			} else {
				tx.leave(to.Storage)
			}
			p.news.notify()
		}
		if p.doomed != nil || slices.Contains(p.dropped, to.Storage) {
			l.call.cancel(errCanceled)
		}
	}
	tx.turned = func(storage string, run bool) {
		n := slices.IndexFunc(branches, func(l branch) bool { return l.storage == storage })
		switch {
		case run && !tx.ended && !slices.Contains(p.dropped, storage):
			in.w.cov.SentAgain++
			send(n)
		case branches[n].waits:
			branches[n].waits = false
			tx.leave(storage)
		}
		p.news.notify()
	}
	for n, to := range destinations {
		branches[n].storage = to.Storage
		switch {
		case n > 0 && branches[0].call == nil:
			tx.leave(to.Storage)
		case n > 0 && tx.ordered:
			branches[n].waits = true
			tx.ready(to.Storage)
		default:
			send(n)
		}
	}
	primary := &p.branches[0]
	t.waitFor(&p.news, -1, primary.ended)
	t.waitFor(&p.news, quorum.Grace(in.now()-began), func() bool {
		return !slices.ContainsFunc(p.branches, func(l branch) bool { return !l.ended() })
	})
	o = outcome{status: status{err: errLost}}
	if primary.call != nil {
		o = primary.call.reply.value
	}
	d.cancel(p, errCanceled)
	agreed := tx.end()
	t.pause()
	if tx.votes.Rounds() == 0 && !o.arrived && (o.err == errLost || p.doomed != nil) && in.now() < deadline {
		in.w.cov.Retries++
		return o, ended, false
	}
	if len(tx.committed) == 0 && o.arrived && o.err == errLocked && !p.again && in.now() < deadline {
		in.w.cov.WritesSentAgain++
		p.again = true
		return o, ended, false
	}
	ended = machine.Ended{Write: f.Write, Succeeded: o.arrived && o.err == nil, Arrived: true, Agreeing: []string{f.Storage}}
	if ended.Succeeded && !tx.votes.Voted() && !slices.ContainsFunc(p.branches, func(l branch) bool { return !l.endedWell() }) {
		in.w.cov.Nothings++
		agreed = names(voters) // as voting.end does
	}
	for i, l := range p.branches {
		arrived := l.call != nil && l.call.reply.value.arrived
		if !arrived && slices.Contains(tx.committed, l.storage) {
			ended.Arrived = false
		}
		if i > 0 && slices.Contains(agreed, l.storage) && arrived && l.call.reply.value.err == o.err {
			ended.Agreeing = append(ended.Agreeing, l.storage)
		}
	}
	if ended.Succeeded {
		p.agreeing = ended.Agreeing
	}
	return o, ended, true
}

// cancel gives up the steps under way of a write.
func (d *driver) cancel(p *passage, why error) {
	for _, l := range p.branches {
		if l.call != nil {
			l.call.cancel(why)
		}
	}
}

// drop gives a write up at one storage.
func (p *passage) drop(storage string) {
	p.dropped = append(p.dropped, storage)
	for n := range p.branches {
		l := &p.branches[n]
		switch {
		case l.storage != storage:
		case l.waits:
			l.waits = false
			p.votes.leave(storage)
		case l.call != nil:
			l.call.cancel(errCanceled)
		}
	}
}
