package sim

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"praefect/fsm/state"
	"praefect/proxy/ledger/machine"
	"praefect/proxy/router"
)

// driver carries out the decisions of the machine of one life of an instance, as
// package ledger does.
type driver struct {
	in      *instance
	inc     state.Incarnation
	machine *machine.Machine
	ids     machine.ID
	writes  map[machine.ID]*passage
	votes   []*transaction // under way
	// lastVotes numbers the transactions.
	lastVotes uint32
	guards    map[machine.ID]*guard
	waits     map[string]int // of repairs for another instance's intent, by path
	troubles  *troubles
	ticks     uint64 // counts timers, so that an old one finds itself replaced
	reports   machine.Report
}

// passage is the machine's word on one write.
type passage struct {
	forward  *machine.Forward // not yet seen to
	sent     machine.Forward  // the last one
	dated    time.Duration    // the wall clock when the lease was checked
	over     bool             // Reject or Finish came
	err      error
	doomed   error
	dropped  []string
	branches []branch
	votes    *transaction  // under way
	again    bool          // it lost locks at its primary, and was sent again
	voting   *transaction  // whose account is asked for
	agreeing []string      // ended as well as the primary did; nil if that failed
	decided  time.Duration // true time of Finish
	news     signal
}

// guard is the machine's word on one repair.
type guard struct {
	done *machine.Done // not yet seen
	news signal
}

func newDriver(in *instance, inc state.Incarnation) *driver {
	return &driver{
		in: in, inc: inc,
		machine: machine.New(machine.Config{
			Linger: in.w.setup.linger, QueueTimeout: 10 * time.Second, QueueLimit: 100, LeaseWait: 2 * time.Second,
			VoteBound: voteBound,
		}),
		writes: make(map[machine.ID]*passage), guards: make(map[machine.ID]*guard), waits: make(map[string]int), troubles: newTroubles(),
	}
}

func (d *driver) id() machine.ID {
	d.ids++
	return d.ids
}

// step brings an event to the machine, after the newest view, and carries out its
// answers.
func (d *driver) step(e machine.Event) {
	if view := d.in.raft.view; view.Index > d.view().Index {
		d.one(machine.View{State: view, Incarnation: d.inc})
	}
	d.one(e)
	d.ticks++
	ticks := d.ticks
	next, ok := d.machine.Next()
	if !ok {
		return
	}
	d.in.after(max(0, next-d.in.now()), func() {
		if d.ticks == ticks {
			d.step(machine.Tick{})
		}
	})
}

func (d *driver) one(e machine.Event) {
	for _, effect := range slices.Clone(d.machine.Step(d.in.now(), e)) {
		d.carryOut(effect)
	}
}

func (d *driver) carryOut(effect machine.Effect) {
	w := d.in.w
	switch e := effect.(type) {
	case machine.Forward:
		w.check.forward(d.in)
		p := d.writes[e.Write]
		p.forward, p.sent, p.dated = &e, e, w.wall()-(d.in.now()-e.At)
		if w.setup.votes && !e.Votes {
			w.cov.PrimaryOnlyAfterVotes++
		}
		p.news.notify()
	case machine.Queued:
		w.cov.QueuedWrites++
	case machine.Reject:
		p := d.writes[e.Write]
		delete(d.writes, e.Write)
		p.over, p.err = true, e.Err
		p.news.notify()
	case machine.Doom:
		w.cov.DoomedWrites++
		p := d.writes[e.Write]
		p.doomed = e.Err
		d.cancel(p, errCanceled)
		p.news.notify()
	case machine.Drop:
		w.cov.DroppedBranches++
		d.writes[e.Write].drop(e.Storage)
	case machine.Allowed:
		p := d.writes[e.Write]
		if e.Err == nil {
			w.check.allowed(d, p.voting, p.dropped)
		}
		p.voting.allowed(e.Err)
	case machine.Finish:
		p := d.writes[e.Write]
		delete(d.writes, e.Write)
		p.over, p.err, p.decided = true, e.Err, w.now
		switch {
		case e.Err != nil:
		case p.votes == nil:
			w.check.finish(d.in, p.sent.Storage, p.sent.Epoch)
		case p.votes.allowedAt > 0:
			w.check.finish(d.in, p.votes.primary(), p.votes.epoch)
			if p.agreeing != nil {
				w.check.ended(p.votes, p.agreeing, p.dropped)
			}
		}
		p.news.notify()
	case machine.Propose:
		d.in.run(func(t *task) { d.propose(t, e) })
	case machine.Behind:
		for _, key := range e.Keys {
			d.in.worker.enqueue(key.RelativePath)
		}
	case machine.Done:
		if t := d.guards[e.Guard]; t != nil {
			t.done = &e
			t.news.notify()
		}
	case machine.Invalidated: // the verdict will be refused
	case machine.Report:
		d.reports = e
		d.in.session.report()
	default:
		w.failf("the machine has an effect %T", effect)
	}
}

func (d *driver) propose(t *task, e machine.Propose) {
	results, err := d.in.proposer.propose(t, d.in.w.setup.timeout, e.Commands...)
	if err != nil {
		d.step(machine.Answer{Proposal: e.Proposal, Err: fmt.Errorf("%w: %w", machine.ErrUnknown, err)})
		return
	}
	d.step(machine.Answer{Proposal: e.Proposal, Results: results})
}

// view is the view by which the instance routes.
func (d *driver) view() *state.State { return d.machine.View() }

// reach tells the machine the state of the links.
func (d *driver) reach() machine.Connections {
	var r machine.Connections
	for _, l := range d.in.links {
		r.Storages = append(r.Storages, machine.Connection{
			VirtualStorage: virtualStorage, Storage: l.st.name, Generation: l.generation, Reachability: l.reach(),
		})
	}
	return r
}

var errUnreachable = errors.New("the storage cannot be reached")

func (l *link) reach() router.Reachability {
	r := router.Reachability{OK: l.conn != nil, FilesystemID: l.fs, Backchannel: l.votes, Outstanding: int64(len(l.pending))}
	if !r.OK {
		r.Why = errUnreachable
	}
	return r
}

// seeView brings the newest view to the machine.
func (d *driver) seeView() { d.step(machine.Tick{}) }
