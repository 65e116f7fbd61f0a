package state

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"testing"

	"praefect/test/must"
)

// BenchmarkState_Apply is a write in eventual mode and its repair, beside a
// ledger of other entries.
func BenchmarkState_Apply(b *testing.B) {
	for _, n := range []int{0, 100_000} {
		b.Run(fmt.Sprintf("entries=%d", n), func(b *testing.B) {
			w := newFixture(b)
			s, number := w.State, w.number
			apply := func(c Command) Result {
				number++
				next, results := s.Apply(s.Index+1, Batch{
					RequestID: fmt.Sprint(number), Incarnation: alpha, Number: number, Commands: []Command{c},
				})
				s = next
				return results[0]
			}
			for i := range n {
				apply(paths(open(Open), fmt.Sprintf("@hashed/%02x/%02x/%d.git", i%256, i/256%256, i)))
			}
			b.ReportAllocs()
			for b.Loop() {
				apply(open(PrimaryOnly, "p"))
				apply(markBehind("p"))
				apply(markInSync(s.Index, "q", "r"))
				if r := apply(closing(false)); r.Refusal != nil {
					b.Fatal(r.Refusal)
				}
			}
		})
	}
}

// ledgerOf is a state with that many entries, as a storage that is away leaves
// them: a third with an intent on top.
func ledgerOf(tb testing.TB, entries int) *State {
	w := newFixture(tb)
	s, number := w.State, w.number
	apply := func(c Command) {
		number++
		next, results := s.Apply(s.Index+1, Batch{
			RequestID: fmt.Sprint("request-", number), Incarnation: alpha, Number: number, Commands: []Command{c},
		})
		if results[0].Refusal != nil {
			tb.Fatal(results[0].Refusal)
		}
		s = next
	}
	for i := range entries {
		path := fmt.Sprintf("@hashed/%02x/%02x/%064x.git", i%256, i/256%256, i)
		apply(paths(open(Open, "p", "q"), path))
		apply(paths(markBehind("p", "q"), path))
		if i%3 != 0 {
			apply(paths(closing(false), path))
		}
	}
	return s
}

// heap returns the bytes that are in use once the garbage is gone.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkSnapshot is what Raft does with a state of 100,000 entries, and what
// such a state costs in memory.
func BenchmarkSnapshot(b *testing.B) {
	const entries = 100_000
	before := heap()
	s := ledgerOf(b, entries)
	size := heap() - before
	var snapshot bytes.Buffer
	must.Succeed(b, s.WriteSnapshot(&snapshot))
	b.Run(fmt.Sprintf("write/entries=%d", entries), func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			must.Succeed(b, s.WriteSnapshot(io.Discard))
		}
		b.ReportMetric(float64(snapshot.Len())/entries, "snapshot-B/entry")
		b.ReportMetric(float64(size)/entries, "heap-B/entry")
	})
	b.Run(fmt.Sprintf("restore/entries=%d", entries), func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			restored, err := ReadSnapshot(bytes.NewReader(snapshot.Bytes()))
			must.Succeed(b, err)
			if restored.Len() != s.Len() {
				b.Fatalf("restored %d entries, want %d", restored.Len(), s.Len())
			}
		}
	})
}

// BenchmarkState_Each is a walk over the ledger, as dataloss and the reconciler do.
func BenchmarkState_Each(b *testing.B) {
	s := ledgerOf(b, 100_000)
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		s.Each(vs, func(Key, *Entry) bool { n++; return true })
		if n != s.Len() {
			b.Fatalf("%d entries, want %d", n, s.Len())
		}
	}
}

// BenchmarkState_Apply_wholeLedger are the commands that concern every entry, and a command
// after one of them, which carries it out on some entries. Everything else waits meanwhile.
func BenchmarkState_Apply_wholeLedger(b *testing.B) {
	for _, entries := range []int{100_000, 1_000_000} {
		s := ledgerOf(b, entries)
		apply := func(s *State, c Command) *State {
			next, results := s.Apply(s.Index+1, Batch{Incarnation: beta, Commands: []Command{c}})
			if results[0].Refusal != nil {
				b.Fatal(results[0].Refusal)
			}
			return next
		}
		for name, c := range map[string]Command{
			"another disk": reach("q", "new"), // changes each entry
			"retire":       proved(alpha, ProofSilent),
		} {
			after := apply(s, c)
			for what, run := range map[string]func(){
				name:                 func() { apply(s, c) },
				"next after " + name: func() { apply(after, Command{Resume: &Resume{}}) },
			} {
				b.Run(fmt.Sprintf("%s/entries=%d", what, entries), func(b *testing.B) {
					runtime.GC() // what was made above is no part of it
					b.ReportAllocs()
					for b.Loop() {
						run()
					}
				})
			}
		}
	}
}
