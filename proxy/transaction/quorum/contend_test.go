package quorum

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestContend(t *testing.T) {
	prepared := []string{"a=apple", "b=apple", "c=apple", "ok"}
	for _, tc := range []struct {
		name string
		a, b []string
		want bool
	}{
		{"opposite order", []string{"a=apple"}, []string{"b=banana"}, true},
		{"three of them", []string{"a=apple", "c=apple"}, []string{"b=banana"}, true},
		{"in a later round", append(prepared[:4:4], "a=late", "b=late", "c=late", "ok", "a=apple"), []string{"b=banana"}, true},
		{"phases have no names", []string{"a=unsaid"}, []string{"b=unsaid"}, true},
		{"one is ahead", []string{"a=apple", "b=apple"}, []string{"a=banana"}, false},
		{"both have their locks at one storage", []string{"a=apple", "c=apple"}, []string{"b=banana", "c=banana"}, false},
		{"both wait for one that is slow", []string{"a=apple", "b=apple"}, []string{"a=banana", "b=banana"}, false},
		{"what it lacks is gone", []string{"b-", "a=apple"}, []string{"b=banana"}, false},
		{"what it lacks is out", []string{"b!", "a=apple"}, []string{"b=banana"}, false},
		{"one is over", []string{"a=apple", "abort"}, []string{"b=banana"}, false},
		{"one is about to be allowed", []string{"b-", "a=apple", "c=apple"}, []string{"b=banana"}, false},
		{"one has not voted yet", []string{"a=apple"}, nil, false},
		{"one has committed", append(prepared[:4:4], "a=late"), []string{"b=banana"}, false},
		{"both have committed", append(prepared[:4:4], "a=late"), append(prepared[:4:4], "b=late"), false},
		{"one waits for a hook", []string{"a=synced"}, []string{"b=banana"}, false},
		{"both wait for a hook", []string{"a=synced"}, []string{"b=synced"}, false},
		{"both are about to lock", []string{"a=early"}, []string{"b=early"}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a, b := newFixture(Config{}), newFixture(Config{})
			for _, step := range tc.a {
				a.do(t, step)
			}
			for _, step := range tc.b {
				b.do(t, step)
			}
			if got := Contend(a.Votes, b.Votes); got != tc.want || got != Contend(b.Votes, a.Votes) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

// TestContend_findsEveryCycle has writes lock references at storages, in any order.
// Once no storage can go on, two of those that are left wait for each other, and
// contend; and with the younger one of a pair aborted, time and again, all come to
// an end. Two alone contend only if they have something in common.
func TestContend_findsEveryCycle(t *testing.T) {
	cycles := 0
	rapid.Check(t, func(t *rapid.T) {
		w := newLocked(t)
		for w.goOn(); len(w.left()) > 0; w.goOn() {
			cycles++
			left := w.left()
			var younger *locking
			found := false
			for i, a := range left {
				for _, b := range left[i+1:] {
					truly := w.waits(a, b) && w.waits(b, a)
					contend := Contend(a.Votes, b.Votes)
					if truly && !contend {
						t.Fatalf("%v and %v wait for each other, and do not contend", a, b)
					}
					if contend && !truly && len(left) == 2 {
						t.Fatalf("%v and %v contend, and do not wait for each other", a, b)
					}
					if found = found || truly; contend {
						younger = b
					}
				}
			}
			if !found {
				t.Fatalf("nobody goes on, and no two wait for each other: %v", left)
			}
			w.see(younger, younger.Abort())
		}
	})
	if cycles == 0 {
		t.Error("no two writes ever waited for each other")
	}
}

// locked are storages that lock references as git does, for all that one write
// changes, or not yet.
type locked struct {
	*rapid.T
	storages []string
	writes   []*locking // the oldest first
}

// locking is a write of which each storage has got to some step by itself.
type locking struct {
	*Votes
	refs []int
	step map[string]int  // of script, by storage; done: len(script)
	held map[string]bool // the storages that have locked refs
}

// script are the votes of a push: its locks are taken before it votes that it is
// prepared, and are given up before it votes that it has committed.
var script = []Vote{synced, apple, late, synced}

func newLocked(t *rapid.T) *locked {
	w := &locked{T: t, storages: []string{"a", "b", "c", "d"}[:rapid.IntRange(2, 4).Draw(t, "storages")]}
	for range rapid.IntRange(2, 5).Draw(t, "writes") {
		refs := rapid.SliceOfNDistinct(rapid.IntRange(0, 5), 1, 3, rapid.ID[int]).Draw(t, "refs")
		w.writes = append(w.writes, &locking{
			Votes: New(Config{Voters: w.storages, Copies: 1}), refs: refs, step: make(map[string]int), held: make(map[string]bool),
		})
	}
	return w
}

func (l *locking) String() string { return fmt.Sprint(l.refs, l.step, l.held) }

// left are the writes that have not ended.
func (w *locked) left() []*locking {
	return slices.DeleteFunc(slices.Clone(w.writes), func(l *locking) bool {
		return !slices.ContainsFunc(w.storages, func(s string) bool { return l.step[s] < len(script) })
	})
}

// waits tells whether a waits at some storage for what b has locked there.
func (w *locked) waits(a, b *locking) bool {
	return slices.ContainsFunc(w.storages, func(s string) bool { return w.inTheWay(a, b, s) })
}

func (w *locked) inTheWay(a, b *locking, storage string) bool {
	return a != b && a.wants(storage) && b.held[storage] && slices.ContainsFunc(a.refs, func(ref int) bool { return slices.Contains(b.refs, ref) })
}

// wants tells whether the write takes its locks next at a storage.
func (l *locking) wants(storage string) bool {
	step := l.step[storage]
	return step < len(script) && script[step] == apple && !l.voter(storage).waiting
}

// goOn has one storage after the other vote, in any order, until none can.
func (w *locked) goOn() {
	type call struct {
		of *locking
		at string
	}
	for {
		var able []call
		for _, l := range w.writes {
			for _, s := range w.storages {
				blocked := slices.ContainsFunc(w.writes, func(o *locking) bool { return w.inTheWay(l, o, s) })
				if l.step[s] < len(script) && !l.voter(s).waiting && !blocked {
					able = append(able, call{l, s})
				}
			}
		}
		if able == nil {
			return
		}
		c := rapid.SampledFrom(able).Draw(w.T, "next")
		vote := script[c.of.step[c.at]]
		c.of.held[c.at] = vote == apple
		effects, ok := c.of.Cast(0, c.at, vote)
		if !ok {
			w.Fatalf("%v: the vote at %s is refused", c.of, c.at)
		}
		w.see(c.of, effects)
		w.onlyLocks()
	}
}

// onlyLocks checks that writes contend only over locks that they have, at no
// storage both.
func (w *locked) onlyLocks() {
	for i, a := range w.writes {
		for _, b := range w.writes[i+1:] {
			both := slices.ContainsFunc(w.storages, func(s string) bool { return a.held[s] && b.held[s] })
			if Contend(a.Votes, b.Votes) && (both || !a.locked() || !b.locked()) {
				w.Fatalf("%v and %v contend", a, b)
			}
		}
	}
}

func (l *locking) locked() bool {
	return slices.ContainsFunc(slices.Collect(maps.Values(l.held)), func(held bool) bool { return held })
}

// see carries out what became of the votes of a write.
func (w *locked) see(l *locking, effects []Effect) {
	for _, effect := range slices.Clone(effects) {
		switch e := effect.(type) {
		case Account:
			w.see(l, l.Allowed(0, true))
		case Reply:
			if l.held[e.Voter] = false; e.Answer == Commit {
				l.step[e.Voter]++
			} else {
				l.step[e.Voter] = len(script)
			}
		}
	}
}
