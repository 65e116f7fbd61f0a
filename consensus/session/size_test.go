package session_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"praefect/consensus/elector"
	"praefect/fsm/state"
)

// perAllocation is that of a machine on which the leader gets little of the processor.
const perAllocation = 3 * time.Microsecond

// charge makes time pass at every node for what the process allocates: so a walk over the
// ledger takes the time that it takes the leader, by a count and not by the speed of the
// machine. A look at one entry allocates about once. Caller holds mu.
func (w *testCluster) charge() {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if w.mallocs > 0 {
		w.spent += time.Duration(m.Mallocs-w.mallocs) * perAllocation
	}
	w.mallocs = m.Mallocs
}

// list has the ledger list that many repositories of which g2 misses a write, and one of
// which g3 does.
func (w *testCluster) list(entries int) {
	inc := w.nodes[0].inc
	write := func(paths []string, agreeing string) {
		w.apply(inc, state.Command{Open: &state.OpenIntent{VirtualStorage: vsName, Paths: paths, Kind: state.Open}},
			state.Command{MarkBehind: &state.MarkBehind{
				VirtualStorage: vsName, Paths: paths, Primary: "g1", Epoch: w.vs().Epoch, Agreeing: []string{"g1", agreeing},
			}},
			state.Command{Close: &state.CloseIntent{VirtualStorage: vsName, Paths: paths}})
	}
	for from := 0; from < entries; from += 1000 {
		paths := make([]string, 1000)
		for i := range paths {
			paths[i] = fmt.Sprintf("@hashed/%064x.git", from+i)
		}
		write(paths, "g3")
	}
	write([]string{lastPath}, "g2")
}

const lastPath = "~last.git"

// TestSession_promoteOnALargeLedgerKeepsLeases: the leader looks each millisecond whether the
// promotion may go on, and grants leases between two looks.
func TestSession_promoteOnALargeLedgerKeepsLeases(t *testing.T) {
	run(t, func(t *testing.T, w *testCluster) {
		w.unchecked = true
		w.list(100_000)
		w.settle()
		done := make(chan error, 1)
		go func() {
			outcome, _, err := switchOver(t.Context(), w.nodes[0], elector.Request{Verb: elector.Promote, Storage: "g3"})
			if err == nil && outcome.Primary != "g3" {
				err = fmt.Errorf("the primary is %q", outcome.Primary)
			}
			done <- err
		}()
		w.change(func() { w.charging = true })
		looks, without := 0, 0
		for range 1000 {
			w.touch() // clients write, so that each node has something to report
			w.pass(time.Millisecond)
			for _, n := range w.nodes {
				if looks++; !n.leased() {
					without++
				}
			}
		}
		w.change(func() { w.charging = false })
		if without > 0 {
			t.Errorf("%d of %d looks without a lease", without, looks)
		}
		select {
		case err := <-done:
			t.Fatalf("it did not wait for %s: %v", lastPath, err)
		default:
		}
		inc := w.nodes[0].inc
		key := state.Key{VirtualStorage: vsName, RelativePath: lastPath}
		w.apply(inc, state.Command{Open: &state.OpenIntent{VirtualStorage: vsName, Paths: []string{lastPath}, Kind: state.Open}})
		w.apply(inc, state.Command{MarkInSync: &state.MarkInSync{Key: key, Storages: []string{"g3"}, AsOf: w.view.Index}},
			state.Command{Close: &state.CloseIntent{VirtualStorage: vsName, Paths: []string{lastPath}}})
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
