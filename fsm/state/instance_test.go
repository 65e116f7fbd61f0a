package state

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestRegister(t *testing.T) {
	for _, r := range []struct {
		name    string
		first   bool
		cmd     Register
		refused Reason
	}{
		{name: "the first brings the cluster's id", first: true, cmd: Register{ID: "a", ClusterID: "cluster"}},
		{name: "the first without it", first: true, cmd: Register{ID: "a"}, refused: RefusedCluster},
		{name: "a later one without it", cmd: Register{ID: "c"}},
		{name: "a later one with the same", cmd: Register{ID: "c", ClusterID: "cluster"}},
		{name: "a later one with another", cmd: Register{ID: "c", ClusterID: "other"}, refused: RefusedCluster},
		{name: "the next life of an instance", cmd: Register{ID: "a"}},
		{name: "with a lease", first: true, cmd: Register{ID: "a", ClusterID: "cluster", LeaseMillis: 3000, RaftAddress: "h:2307"}},
		{name: "with a lease too short", cmd: Register{ID: "c", LeaseMillis: 99}, refused: RefusedInvalid},
		{name: "with a lease too long", cmd: Register{ID: "c", LeaseMillis: 3001}, refused: RefusedInvalid},
		{name: "with a negative lease", cmd: Register{ID: "c", LeaseMillis: -1000}, refused: RefusedInvalid},
		{name: "a raft address not in UTF-8", cmd: Register{ID: "c", RaftAddress: "\xff"}, refused: RefusedInvalid},
		{name: "no id", cmd: Register{Name: "c"}, refused: RefusedInvalid},
		{name: "not UTF-8", cmd: Register{ID: "c", Name: "\xff"}, refused: RefusedInvalid},
	} {
		t.Run(r.name, func(t *testing.T) {
			w := &fixture{t: t, State: &State{}}
			if !r.first {
				w = newFixture(t)
			}
			live := len(w.Instances)
			got := w.try(0, Command{Register: &r.cmd})
			if r.refused != "" {
				if got.Refusal == nil || got.Refusal.Reason != r.refused || len(w.Instances) != live {
					t.Errorf("got %v with %d instances, want refused (%s)", got.Refusal, len(w.Instances), r.refused)
				}
				return
			}
			if got.Refusal != nil {
				t.Fatal(got.Refusal)
			}
			if got.Incarnation != Incarnation(w.Index) {
				t.Errorf("incarnation %d, want %d", got.Incarnation, w.Index)
			}
			if in := w.Instance(got.Incarnation); in == nil || in.ID != r.cmd.ID || in.RaftAddress != r.cmd.RaftAddress {
				t.Errorf("registered %+v", in)
			}
			if w.ClusterID != "cluster" {
				t.Errorf("cluster id %q", w.ClusterID)
			}
		})
	}
}

func TestRegister_theFirstFixesTheLease(t *testing.T) {
	for _, r := range []struct {
		first, later int64
		want         time.Duration
	}{
		{0, 0, time.Second},
		{0, 2000, time.Second},
		{2000, 3000, 2 * time.Second},
		{2000, 0, 2 * time.Second},
	} {
		w := &fixture{t: t, State: &State{}}
		w.must(0, Command{Register: &Register{ID: "a", ClusterID: "cluster", LeaseMillis: r.first}})
		w.must(0, Command{Register: &Register{ID: "b", LeaseMillis: r.later}})
		if got := w.LeaseLength(); got != r.want {
			t.Errorf("%d ms, then %d: got %s, want %s", r.first, r.later, got, r.want)
		}
	}
}

func TestRegister_twiceInOneBatch(t *testing.T) {
	w := newFixture(t)
	got := w.batch(Batch{Commands: []Command{{Register: &Register{ID: "c"}}, {Register: &Register{ID: "d"}}}})
	if got[0].Refusal != nil || got[1].Refusal == nil || got[1].Refusal.Reason != RefusedInvalid {
		t.Errorf("got %+v", got)
	}
}

func TestRetire(t *testing.T) {
	retire := func(inc, successor Incarnation) Command {
		return Command{Retire: &Retire{Incarnation: inc, Successor: successor}}
	}
	next := func(w *fixture) Incarnation { return w.Instances[len(w.Instances)-1].Incarnation }
	reborn := func(w *fixture) { w.must(0, Command{Register: &Register{ID: "a"}}) }
	runRows(t, []row{
		{name: "its intents become in doubt", given: func(w *fixture) { w.must(alpha, scoped(500, true, "p")); reborn(w) }, by: beta,
			do: func(w *fixture) Command { return retire(alpha, next(w)) }, entry: "in doubt(1) 500ms refs on p"},
		{name: "beside what was in doubt", given: func(w *fixture) {
			given(scoped(500, true, "p"), closing(true), scoped(100, false, "q"))(w)
			reborn(w)
		}, by: beta, do: func(w *fixture) Command { return retire(alpha, next(w)) }, entry: "in doubt(1) 500ms on p+q"},
		{name: "intents of others stay", given: func(w *fixture) {
			w.must(alpha, open(Open))
			w.must(beta, open(PrimaryOnly))
			reborn(w)
		}, by: beta, do: func(w *fixture) Command { return retire(alpha, next(w)) }, entry: "in doubt(1), primary-only(2)"},
		{name: "without intents", given: reborn, by: beta, do: func(w *fixture) Command { return retire(alpha, next(w)) },
			entry: "clean"},

		{name: "whose port refuses connections", given: given(open(Open)), by: beta,
			do: do(proved(alpha, ProofRefused)), entry: "in doubt(1)"},
		{name: "by an operator", given: given(open(PrimaryOnly)), by: beta, do: do(proved(alpha, ProofOperator)), entry: "in doubt(1)"},
		{name: "that is silent", given: given(open(Open)), by: beta, do: do(proved(alpha, ProofSilent)), entry: "in doubt(1)"},

		{name: "itself, that is silent", do: do(proved(alpha, ProofSilent)), refused: RefusedInvalid},
		{name: "twice", given: func(w *fixture) { w.must(beta, proved(alpha, ProofSilent)) }, by: beta,
			do: do(proved(alpha, ProofSilent)), refused: RefusedUnknown},
		{name: "by no proof", by: beta, do: do(proved(alpha, "hearsay")), refused: RefusedInvalid},
		{name: "by two proofs", given: reborn, by: beta, do: func(w *fixture) Command {
			return Command{Retire: &Retire{Incarnation: alpha, Proof: ProofSilent, Successor: next(w)}}
		}, refused: RefusedInvalid},
		{name: "itself", given: reborn, do: func(w *fixture) Command { return retire(alpha, next(w)) }, refused: RefusedInvalid},
		{name: "nobody", do: do(retire(0, 1)), refused: RefusedInvalid},
		{name: "one that is not live", do: do(retire(77, 78)), refused: RefusedUnknown},
		{name: "by no successor", by: beta, do: do(retire(alpha, 99)), refused: RefusedNoProof},
		{name: "by another instance", given: reborn, do: do(retire(beta, 99)), refused: RefusedNoProof},
		{name: "by another instance that is live", given: reborn,
			do: func(w *fixture) Command { return retire(beta, next(w)) }, refused: RefusedNoProof},
		{name: "by a former life", given: reborn, by: beta,
			do: func(w *fixture) Command { return retire(next(w), alpha) }, refused: RefusedNoProof},
	})
}

func proved(inc Incarnation, by Proof) Command {
	return Command{Retire: &Retire{Incarnation: inc, Proof: by}}
}

func TestRetire_endsTheIncarnation(t *testing.T) {
	w := newFixture(t)
	w.must(alpha, open(Open), paths(open(Open), "quiet.git"), paths(closing(true), "quiet.git"))
	quiet := w.Entry(Key{vs, "quiet.git"})
	next := w.must(0, Command{Register: &Register{ID: "a"}}).Incarnation
	w.must(next, Command{Retire: &Retire{Incarnation: alpha, Successor: next}})

	if w.Instance(alpha) != nil {
		t.Error("the incarnation is still live")
	}
	if at := w.entry().Intent(alpha).InDoubt.At; at != w.Index || w.entry().Changed != w.Index {
		t.Errorf("in doubt at %d, changed at %d, want %d", at, w.entry().Changed, w.Index)
	}
	if w.Entry(Key{vs, "quiet.git"}) != quiet {
		t.Error("an entry without a live intent was touched")
	}
	for _, c := range []Command{
		open(Open), closing(false), markBehind("p"), markInSync(w.Index, "q"), resolveDoubt(w, "p", "q", "r"),
		define("p", "q", "r"), reach("q", "disk-q"), {Retire: &Retire{Incarnation: next, Successor: next + 1}},
		w.fencing(WhyDead, "p"), {Pause: &Pause{}}, {AcceptLoss: &AcceptLoss{Key: Key{vs, repo}, Storage: "p"}},
	} {
		w.refuses(alpha, c, RefusedRetired)
	}
}

// TestInstanceHistory tells of members that came and went, and of retirements, but not of restarts.
func TestInstanceHistory(t *testing.T) {
	w := newFixture(t)
	w.must(alpha, Command{Record: &Record{What: ChangeAdded, Instance: "four", By: "operator: raft add four (alice)"}})
	w.must(alpha, proved(beta, ProofSilent))
	w.must(alpha, Command{Record: &Record{What: ChangeRemoved, Instance: "two", By: "operator: raft remove two (alice)"}})
	var got []string
	for _, c := range w.InstanceHistory {
		got = append(got, strings.Join([]string{c.What, c.Instance, c.Why, c.By}, "|"))
	}
	want := []string{
		"added|four||operator: raft add four (alice)", "retired||silent|", "removed from the cluster|two||operator: raft remove two (alice)",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for range HistoryLength + 5 {
		w.must(alpha, Command{Record: &Record{What: ChangeAdded, Instance: "four"}})
	}
	if n := len(w.InstanceHistory); n != HistoryLength {
		t.Errorf("%d lines, want %d", n, HistoryLength)
	}
	restored, err := ReadSnapshot(strings.NewReader(snapshotOf(t, w.State)))
	if err != nil || !slices.Equal(restored.InstanceHistory, w.InstanceHistory) {
		t.Errorf("a snapshot loses it: %v", err)
	}
	for _, r := range []Record{{What: "moved", Instance: "two"}, {What: ChangeAdded}} { // another change, no instance
		w.refuses(alpha, Command{Record: &r}, RefusedInvalid)
	}
}
