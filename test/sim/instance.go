package sim

import (
	"fmt"
	"iter"
	"time"

	"praefect/fsm/state"
	"praefect/replicator/plan"
)

// instance is one praefect, through all its lives.
type instance struct {
	*process
	index int
	id    string
	disk  *durable
	// founding are the members with which its log begins: none for one that joins.
	founding *configuration
	gone     bool          // for good: it was removed, or its host is lost
	lagging  time.Duration // until when its view is slow, true time
	hung     time.Duration // until when it stands still
	level    int           // the feature level of its program

	// Of this life:
	raft      *raft
	proposer  *proposer
	links     []*link
	session   *session
	firstSeen plan.FirstSeen
	ledger    *driver // once registered
	worker    *worker
	started   time.Duration
	file      []string // the storages in its settings when it began
	leads     *leader  // while it leads
	// lost is called when the process dies, for each request under way.
	lost map[*request]func()
}

// begin starts a life of the instance.
func (in *instance) begin() {
	in.start()
	in.upgrade()
	in.w.check.quorum()
	in.w.tracef("%s starts", in.name)
	in.started = in.now()
	in.file = in.w.file(in)
	in.lost = make(map[*request]func())
	in.firstSeen = plan.FirstSeen{}
	in.ledger, in.worker, in.leads = nil, nil, nil
	in.raft = newRaft(in)
	in.proposer = &proposer{in: in}
	in.links = nil
	for _, st := range in.w.storages {
		l := &link{in: in, st: st}
		in.links = append(in.links, l)
		in.run(l.run)
	}
	in.session = newSession(in)
	in.run(in.register)
	if in.w.setup.changes {
		in.run(in.join)
	}
}

// comeBack starts an instance that is down, unless that is for good.
func (in *instance) comeBack() {
	if !in.up && !in.gone {
		in.begin()
	}
}

// newcomer tells an instance that joins from one with which the cluster began.
func (in *instance) newcomer() bool { return len(in.founding.servers) == 0 }

// upgrade gives the instance the program of the next release, in a rolling upgrade:
// some lives later than the others.
func (in *instance) upgrade() {
	in.level = max(in.level, state.CommandVersion)
	if next := state.CommandVersion + 1; in.w.setup.rolling && in.level < next && in.w.chance(0.5) {
		in.level = next
		in.w.tracef("%s is upgraded", in.name)
	}
}

// crash ends the process.
func (in *instance) crash() {
	in.w.tracef("%s dies", in.name)
	in.w.cov.Crashes++
	in.end()
	in.w.check.quorum()
	in.ledger, in.leads = nil, nil
	lost := in.lost
	in.lost = nil
	for _, r := range in.w.underway {
		if fn := lost[r]; fn != nil {
			fn()
		}
	}
}

func (in *instance) link(name string) *link {
	for _, l := range in.links {
		if l.st.name == name {
			return l
		}
	}
	return nil
}

// register announces the new incarnation and retires the former ones, and then
// takes requests.
func (in *instance) register(t *task) {
	results := in.proposer.commit(t, []state.Command{{Register: &state.Register{
		ID: in.id, Name: in.name, Address: in.name, RaftAddress: in.name, Version: "sim", Level: in.level,
		ClusterID: in.w.cluster, LeaseMillis: in.w.setup.lease.Milliseconds(),
	}}})
	if refusal := results[0].Refusal; refusal != nil && refusal.Reason == state.RefusedLevel && in.newcomer() && !in.disk.registered {
		in.w.tracef("an operator gives %s the program of the others", in.name)
		in.level++
		in.w.after(0, func() { in.w.restart(in) })
		return
	}
	if results[0].Refusal != nil {
		in.w.failf("%s is not registered: %v", in.name, results[0].Refusal)
		return
	}
	in.disk.registered = true
	inc := results[0].Incarnation
	in.proposer.inc, in.proposer.number = inc, 0
	var retire []state.Command
	for _, other := range in.raft.view.Instances {
		if other.ID == in.id && other.Incarnation < inc {
			retire = append(retire, state.Command{Retire: &state.Retire{
				Incarnation: other.Incarnation, Successor: inc, Proof: state.ProofSuccessor,
			}})
		}
	}
	if len(retire) > 0 {
		in.proposer.commit(t, retire)
	}
	in.w.tracef("%s is incarnation %d", in.name, inc)
	in.run(in.proposer.run)
	in.ledger = newDriver(in, inc)
	in.worker = &worker{d: in.ledger}
	in.viewChanged()
	in.reachChanged()
	in.session.registered(inc)
	in.leadership()
	in.run(in.worker.flush)
	in.run(in.worker.reconcile)
	in.run(in.worker.run)
	if tampers(in.w.seed) {
		in.run(in.ledger.verifies)
	}
	in.run(in.ledger.backfill)
}

// viewChanged brings the view to all parts that live by it.
func (in *instance) viewChanged() {
	if in.ledger == nil {
		return
	}
	in.firstSeen.Look(in.now(), in.raft.view.Index)
	in.ledger.seeView()
	in.leadership()
	if in.raft.view.Instance(in.ledger.inc) == nil {
		in.w.tracef("%s learns that %d is retired", in.name, in.ledger.inc)
		in.w.after(0, func() { in.w.restart(in) })
	}
}

// reachChanged brings the state of the links to all parts that route by it.
func (in *instance) reachChanged() {
	in.session.observed()
	if in.ledger != nil {
		in.ledger.step(in.ledger.reach())
	}
}

// newInstance makes an instance that never ran.
func newInstance(w *simulation, index int) *instance {
	name := fmt.Sprintf("praefect-%d", index+1)
	return &instance{
		process: &process{w: w, name: name, node: index, clock: w.newClock()},
		index:   index, id: fmt.Sprint("id-", index+1), disk: &durable{},
	}
}

// registered are the instances that run, and have announced themselves in this life.
func (w *simulation) registered() iter.Seq[*instance] {
	return func(yield func(*instance) bool) {
		for _, in := range w.instances {
			if in.up && in.ledger != nil && !yield(in) {
				return
			}
		}
	}
}

// newClock draws a clock that is wrong by up to 1 %.
func (w *simulation) newClock() clock {
	return clock{offset: w.between(time.Minute, time.Hour), rate: 0.99 + 0.02*w.rand.Float64()}
}
