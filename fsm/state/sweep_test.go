package state

import (
	"bytes"
	"fmt"
	"testing"

	"praefect/test/must"
)

// withStep has each Apply carry sweeps out on so many entries while the test runs.
func withStep(t *testing.T, step int) {
	usual := sweepStep
	sweepStep = step
	t.Cleanup(func() { sweepStep = usual })
}

// stale counts the entries on which sweeps are still to be carried out.
func stale(s *State) (n int) {
	s.ledger.Root().Walk(func(key []byte, e *Entry) bool {
		if s.sweeps.through(parseKey(key).VirtualStorage, e) != e {
			n++
		}
		return false
	})
	return n
}

// TestSweep_isCarriedOutInSteps: a command that concerns every entry changes none, every
// reader sees the change at once, and the commands after it carry it out on a bounded number
// of entries each.
func TestSweep_isCarriedOutInSteps(t *testing.T) {
	const entries = 1000
	for name, c := range map[string]Command{
		"another disk": reach("r", "new"),
		"retire":       proved(alpha, ProofSilent),
	} {
		t.Run(name, func(t *testing.T) {
			s := ledgerOf(t, entries)
			next := func(c Command) {
				t.Helper()
				n, results := s.Apply(s.Index+1, Batch{RequestID: fmt.Sprint("sweep-", s.Index), Incarnation: beta, Number: uint64(s.Index), Commands: []Command{c}})
				if results[0].Refusal != nil {
					t.Fatal(results[0].Refusal)
				}
				s = n
			}
			next(c)
			concerned := stale(s)
			if want := map[string]int{"another disk": entries, "retire": (entries + 2) / 3}[name]; concerned != want {
				t.Fatalf("%d entries are to be swept, want %d", concerned, want)
			}
			swept := s.Index
			s.Each(vs, func(k Key, e *Entry) bool {
				if c.Rejoin != nil && (!e.IsBehind("r") || e.Changed != swept) || e.Live(alpha) != nil && c.Retire != nil {
					t.Errorf("%q is read as %+v", k.RelativePath, e)
				}
				return !t.Failed()
			})
			steps := 0
			for ; len(s.sweeps.list) > 0; steps++ {
				restored, err := ReadSnapshot(bytes.NewReader([]byte(snapshotOf(t, s))))
				must.Succeed(t, err)
				before := stale(s)
				if got, want := snapshotOf(t, restored), snapshotOf(t, s); got != want || stale(restored) != 0 {
					t.Fatal("the restored state differs")
				}
				next(Command{Resume: &Resume{}})
				if done := before - stale(s); done > sweepStep {
					t.Fatalf("one command swept %d entries", done)
				}
			}
			if want := (entries + sweepStep) / sweepStep; steps > want || stale(s) > 0 {
				t.Errorf("%d steps, want at most %d; %d entries left", steps, want, stale(s))
			}
		})
	}
}

// TestSweep_inTheMiddleOfABatch: what a batch changed before it is swept, what it changed
// afterwards is not.
func TestSweep_inTheMiddleOfABatch(t *testing.T) {
	w := newFixture(t)
	w.number++
	s, results := w.State.Apply(w.State.Index+1, Batch{RequestID: "all", Incarnation: alpha, Number: w.number, Commands: []Command{
		paths(open(Open), "before"), paths(markBehind("p", "q"), "before"),
		reach("q", "new"),
		paths(open(Open), "after"),
	}})
	for _, r := range results {
		if r.Refusal != nil {
			t.Fatal(r.Refusal)
		}
	}
	for _, path := range []string{"before", "after"} {
		if e := s.Entry(Key{vs, path}); !e.IsBehind("q") {
			t.Errorf("%s: %+v", path, e)
		}
	}
	if got, want := s.Behind(vs, "q"), 2; got != want {
		t.Errorf("q is behind in %d entries, want %d", got, want)
	}
}

// TestSweeps_addDropsWhatIsSaidAgain, so that a storage whose disk changes all the time does
// not make the list grow.
func TestSweeps_addDropsWhatIsSaidAgain(t *testing.T) {
	var w sweeps
	for i := range Index(10) {
		w = w.add(sweep{index: i, vs: vs, behind: []string{"q"}})
	}
	w = w.add(sweep{index: 11, vs: vs, gone: []string{"r"}})
	w = w.add(sweep{index: 12, vs: vs, behind: []string{"q", "s"}})
	w = w.add(sweep{index: 13, vs: vs, behind: []string{"q", "s"}})
	var got []Index
	for _, s := range w.list {
		got = append(got, s.index)
	}
	if fmt.Sprint(got) != "[9 11 13]" {
		t.Errorf("sweeps of %v are kept", got)
	}
}
