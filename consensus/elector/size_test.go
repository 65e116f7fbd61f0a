package elector

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"praefect/fsm/state"
)

// large is a fixture whose ledger has that many entries more, of which the storage that is out
// misses writes; g3 serves and lacks nothing but one repository.
func large(tb testing.TB, entries int) *fixture {
	r := newFixture(tb)
	r.large = true
	r.behind("~last.git", "g3")
	paths := make([]string, 0, 100)
	vs := r.vs()
	for i := range entries {
		paths = append(paths, fmt.Sprintf("@hashed/%064x.git", i))
		if len(paths) < cap(paths) && i < entries-1 {
			continue
		}
		r.apply(1,
			state.Command{Open: &state.OpenIntent{VirtualStorage: "default", Paths: paths, Kind: state.Open}},
			state.Command{MarkBehind: &state.MarkBehind{
				VirtualStorage: "default", Paths: paths, Primary: "g1", Epoch: vs.Epoch, Agreeing: []string{"g1", "g3"},
			}},
			state.Command{Close: &state.CloseIntent{VirtualStorage: "default", Paths: paths}},
		)
		paths = paths[:0]
	}
	r.apply(1, state.Command{Fence: &state.Fence{VirtualStorage: "default", Storages: []string{"g2"}, Why: state.WhyDead, Epoch: vs.Epoch}})
	r.apply(1, state.Command{Admit: &state.Admit{
		VirtualStorage: "default", Epoch: r.vs().Epoch, Storages: []state.Admission{{Storage: "g2", As: state.Out, Why: state.WhyDead}},
	}})
	return r
}

// lookOnce is what the leader does under its lock each millisecond while a promotion waits, and
// what a plan costs on top.
func (r *fixture) lookOnce(o *operating) {
	decision := Decide(r.in, r.memory)
	r.memory = decision.Memory
	next, _, progress, err := o.op.Step(o.moment())
	o.op = next
	if err != nil || progress.Behind != 1 {
		r.t.Fatalf("%+v, %v", progress, err)
	}
	if sum := o.op.Outlook(r.in.View); sum.Behind != 1 {
		r.t.Fatalf("%+v", sum)
	}
}

// TestDecide_costsTheSameForAnyLedger: a walk over the ledger allocates for each entry, so
// that allocations tell, on any machine, whether there is one.
func TestDecide_costsTheSameForAnyLedger(t *testing.T) {
	cost := func(entries int) float64 {
		r := large(t, entries)
		r.in.Counts = r.counts()
		o := r.mustBegin(Request{Verb: Promote, Storage: "g3"})
		for range entries/perLook + 1 { // each of them bounded: see below
			r.lookOnce(o)
		}
		return testing.AllocsPerRun(20, func() { r.lookOnce(o) })
	}
	small, big := cost(10), cost(100_000)
	if big > small+10 {
		t.Errorf("a look allocates %.0f times with 100,000 entries, %.0f times with 10", big, small)
	}
}

// TestOperation_looksAtFewEntriesAtATime, and finds the one that is waited for.
func TestOperation_looksAtFewEntriesAtATime(t *testing.T) {
	r := large(t, 5*perLook)
	o := r.mustBegin(Request{Verb: Promote, Storage: "g3"})
	allocs := testing.AllocsPerRun(1, func() { r.lookOnce(o) }) // runs twice
	if allocs > 3*perLook {
		t.Errorf("a look allocates %.0f times", allocs)
	}
	for range 10 {
		r.lookOnce(o)
	}
	if got := o.op.caughtUp; got.next != "~last.git" || got.done {
		t.Fatalf("the search is at %+v", got)
	}
	r.behind("~last.git", "g3") // it is written to
	o.advance(time.Millisecond)
	o.at(PauseWrites)
}

// BenchmarkLook prints by how much a look of the leader is dearer with a large ledger.
func BenchmarkLook(b *testing.B) {
	var first float64
	for _, entries := range []int{10, 100_000, 1_000_000} {
		b.Run(fmt.Sprintf("entries=%d", entries), func(b *testing.B) {
			r := large(b, entries)
			r.in.Counts = r.counts()
			o := r.mustBegin(Request{Verb: Promote, Storage: "g3"})
			for range entries/perLook + 1 {
				r.lookOnce(o)
			}
			runtime.GC() // what was made above is no part of a look
			for b.Loop() {
				r.lookOnce(o)
			}
			cost := float64(b.Elapsed().Nanoseconds()) / float64(b.N)
			if first == 0 {
				first = cost
			}
			b.ReportMetric(cost/first, "x-of-10-entries")
		})
	}
}
