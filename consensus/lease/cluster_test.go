package lease_test

import (
	"fmt"
	"slices"
	"time"

	"pgregory.net/rapid"

	"praefect/consensus/lease"
	"praefect/fsm/state"
)

// testCluster is three instances whose clocks run at different rates, some of which
// lead, or believe to, in true time.
type testCluster struct {
	t         *rapid.T
	now       time.Duration // true time
	committed state.Index
	instances []*instance
	// marks is the greatest watermark that any leader has told.
	marks state.Index
	seen  seen
}

// seen counts what makes the property worth something.
type seen struct{ leases, late, elections int }

const length = time.Second

type instance struct {
	w      *testCluster
	id     string
	inc    state.Incarnation
	rate   float64
	offset time.Duration

	term   uint64
	holder lease.Holder
	view   state.Index
	echo   map[*leader]uint64

	leads *leader
}

type leader struct {
	in      *instance
	term    uint64
	grantor *lease.Grantor
	to      map[*instance][]*lease.ToLeader
	from    map[*instance][]*lease.FromLeader
}

func newTestCluster(t *rapid.T) *testCluster {
	w := &testCluster{t: t, now: time.Hour, committed: 10}
	for i := range 3 {
		w.instances = append(w.instances, &instance{
			w: w, id: fmt.Sprint("i", i), inc: state.Incarnation(i + 1),
			rate:   rapid.Float64Range(0.99, 1.01).Draw(t, "rate"),
			offset: time.Duration(rapid.IntRange(0, 1e6).Draw(t, "offset")) * time.Millisecond,
			view:   10, echo: make(map[*leader]uint64),
		})
	}
	return w
}

// clock is the instance's own.
func (in *instance) clock() time.Duration {
	return in.offset + time.Duration(float64(in.w.now)*in.rate)
}

func (w *testCluster) pick(label string) *instance {
	return rapid.SampledFrom(w.instances).Draw(w.t, label)
}

// elect makes an instance the leader of a new term by the votes of a majority.
// It has all that was committed.
func (w *testCluster) elect(in *instance) {
	term := uint64(1)
	for _, i := range w.instances {
		term = max(term, i.term+1)
	}
	other := w.pick("voter")
	for other == in {
		other = w.pick("voter")
	}
	in.term, other.term, in.view = term, term, w.committed
	l := &leader{in: in, term: term, to: make(map[*instance][]*lease.ToLeader), from: make(map[*instance][]*lease.FromLeader)}
	l.grantor = lease.NewGrantor(lease.Election{Term: term, Since: in.clock(), Self: in.id, Length: length})
	l.grantor.Voters([]string{"i0", "i1", "i2"})
	l.grantor.Committed(in.clock(), in.view)
	in.leads = l
	w.seen.elections++
}

// newest is the leader of the latest term.
func (w *testCluster) newest() *leader {
	var newest *leader
	for _, in := range w.instances {
		if in.leads != nil && (newest == nil || in.leads.term > newest.term) {
			newest = in.leads
		}
	}
	return newest
}

// say has an instance send a message to a leader that it may have lost long ago.
func (w *testCluster) send(in *instance, l *leader, ask bool) {
	if ask {
		in.holder.Ask(in.clock())
		w.pass(50)
	}
	l.to[in] = append(l.to[in], &lease.ToLeader{
		InstanceID: in.id, Incarnation: in.inc, AskNumber: in.holder.Asked(), Term: in.term, Echo: in.echo[l], Applied: in.view,
	})
}

// act has a leader hear what has come, grant and answer.
func (w *testCluster) act(l *leader, hear *instance) {
	if l.in.leads != l {
		return
	}
	if queue := l.to[hear]; len(queue) > 0 {
		// Messages overtake each other when an instance has made a new stream.
		i := max(0, rapid.IntRange(-3, len(queue)-1).Draw(w.t, "which"))
		l.grantor.Received(l.in.clock(), queue[i])
		l.to[hear] = slices.Delete(queue, i, i+1)
	}
	if l.in.term != l.term {
		return // it is no witness of its own term any more
	}
	now := l.in.clock()
	if l == w.newest() {
		l.in.view = w.committed
		l.grantor.Committed(now, w.committed)
	}
	if l.grantor.Waits() {
		l.grantor.Ask()
	}
	l.grantor.Grant(now, l.in.view)
	for _, in := range w.instances {
		m := &lease.FromLeader{}
		l.grantor.Fill(now, in.inc, m)
		w.marks = max(w.marks, m.Watermark)
		l.from[in] = append(l.from[in], m)
	}
}

// hear has an instance take a message of a leader.
func (w *testCluster) receive(in *instance, l *leader) {
	if len(l.from[in]) == 0 {
		return
	}
	m := l.from[in][0]
	l.from[in] = l.from[in][1:]
	in.term = max(in.term, m.Term)
	in.echo[l] = max(in.echo[l], m.Question)
	if in.holder.Granted(m.Grant()) {
		w.seen.leases++
		if in.clock() >= in.holder.Lease().Until {
			w.seen.late++
		}
	}
}

// pass lets true time pass.
func (w *testCluster) pass(upTo int) {
	w.now += time.Duration(rapid.IntRange(0, upTo).Draw(w.t, "ms")) * time.Millisecond
}

// passToTheEnd lets true time pass until an instance's lease has almost ended.
func (w *testCluster) passToTheEnd(in *instance) {
	left := in.holder.Lease().Left(in.clock()) - time.Duration(rapid.IntRange(1, 30).Draw(w.t, "before"))*time.Millisecond
	w.now += max(0, time.Duration(float64(left)/in.rate))
}

// check holds what a lease promises, in true time.
func (w *testCluster) check() {
	for _, in := range w.instances {
		l := in.holder.Usable(in.view)
		if !l.Valid(in.clock(), in.view) {
			continue
		}
		if in.view < w.marks {
			w.t.Fatalf("%s holds a lease, has applied %d, and a leader told that all leased ones had applied %d", in.id, in.view, w.marks)
		}
		newest := w.newest()
		if !newest.grantor.Leased(in.inc, newest.in.clock()) {
			w.t.Fatalf("%s holds a lease for another %v, and the leader of term %d counts it as ended",
				in.id, l.Left(in.clock()), newest.term)
		}
		if newest.grantor.AppliedByAll(in.view+1, newest.in.clock()) {
			w.t.Fatalf("%s holds a lease, has applied %d, and the leader of term %d takes more for applied by all", in.id, in.view, newest.term)
		}
	}
}
