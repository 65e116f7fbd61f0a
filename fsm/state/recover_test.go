package state

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"praefect/test/must"
)

func recovery(s *State) Recovery {
	return Recovery{Index: s.Index + 1, ClusterID: "recovered", Time: 5, By: "operator", BoundMillis: 1000}
}

func TestState_Recover(t *testing.T) {
	for _, tc := range []struct {
		name   string
		given  func(w *fixture)
		want   string // the storages, in their order
		entry  string // of the repository
		beside string // that serve on, not compared
	}{
		{name: "nothing is listed", want: "p serving, q backfilling, r backfilling"},
		{name: "the primary of a repository serves on", given: func(w *fixture) {
			w.must(alpha, open(Open), markBehind("p"), closing(false))
			w.fence("p")
			w.admit("", "p") // q is the primary of all others
		}, want: "q serving, r backfilling, p serving", entry: "behind q+r, conflict q", beside: "p"},
		{name: "what is under way is in doubt", given: func(w *fixture) {
			w.must(beta, scoped(500, true, "p", "q"))
		}, want: "p serving, q backfilling, r backfilling", entry: "in doubt(2) 1000ms on p+q+r, behind q+r"},
		{name: "several serve on", given: func(w *fixture) {
			w.must(alpha, Command{Open: &OpenIntent{VirtualStorage: vs, Paths: []string{"other.git"}, Kind: Open}})
			w.must(alpha, Command{MarkBehind: &MarkBehind{VirtualStorage: vs, Paths: []string{"other.git"}, Primary: "p", Epoch: w.VirtualStorage(vs).Epoch, Agreeing: []string{"p"}}})
			w.must(alpha, Command{Close: &CloseIntent{VirtualStorage: vs, Paths: []string{"other.git"}}}, open(Open))
			w.must(alpha, markBehind("p", "q"), closing(false))
			w.fence("p")
			w.admit("", "p")
		}, want: "q serving, r backfilling, p serving", entry: "in doubt(19) 1000ms on p+q+r, behind r", beside: "p"},
		{name: "a fence is over", given: func(w *fixture) { w.fence("p") }, want: "q serving, r backfilling, p backfilling"},
		{name: "one that is out", given: func(w *fixture) { w.out("p", WhyDead) }, want: "q serving, r backfilling, p backfilling"},
		{name: "one that is drained stays out", given: func(w *fixture) { w.out("p", WhyDrained) }, want: "q serving, r backfilling, p out"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newFixture(t)
			if tc.given != nil {
				tc.given(w)
			}
			after := w.Recover(recovery(w.State))
			must.Succeed(t, after.Check())
			got := ""
			for i, s := range after.VirtualStorage(vs).Succession {
				if i > 0 {
					got += ", "
				}
				got += s.Name + " " + string(s.State)
			}
			if got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			entry := ""
			if e := after.Entry(Key{vs, repo}); e != nil {
				entry = e.String()
			}
			if entry != tc.entry {
				t.Errorf("the entry is %q, want %q", entry, tc.entry)
			}
			if beside, at := after.VirtualStorage(vs).NotCompared(); strings.Join(beside, " ") != tc.beside || at != 5 {
				t.Errorf("not compared since %d: %q, want %q", at, beside, tc.beside)
			}
			if len(after.Instances) != 0 || after.ClusterID != "recovered" || after.VirtualStorage(vs).Epoch <= w.VirtualStorage(vs).Epoch {
				t.Errorf("cluster %q at epoch %d with %v", after.ClusterID, after.VirtualStorage(vs).Epoch, after.Instances)
			}
		})
	}
}

// A storage that was being backfilled may have served since: what the lost entries acknowledged there is
// compared before anything is copied onto it.
func TestState_Recover_whatWasBackfilledIsComparedAgain(t *testing.T) {
	for _, row := range []struct {
		name   string
		before Uncompared
		isNew  bool
		want   Uncompared
	}{
		{"new, and compared", "", true, UncomparedFounding},
		{"with another disk, and compared", "", false, UncomparedLater},
		{"new, and not compared", UncomparedFounding, true, UncomparedFounding},
		{"with another disk, and not compared", UncomparedLater, false, UncomparedLater},
	} {
		w := newFixture(t)
		s := w.State.VirtualStorage(vs).Storage("q")
		s.State, s.New, s.Uncompared = Backfilling, row.isNew, row.before
		after := w.Recover(recovery(w.State)).VirtualStorage(vs).Storage("q")
		if after.State != Backfilling || after.Uncompared != row.want {
			t.Errorf("%s: it is %s, uncompared %q, want %q", row.name, after.State, after.Uncompared, row.want)
		}
	}
}

// A drained storage that an operator takes back is compared like any other.
func TestState_Recover_drainedIsComparedWhenItReturns(t *testing.T) {
	w := newFixture(t)
	w.out("p", WhyDrained)
	w.State = w.Recover(recovery(w.State))
	inc := w.must(0, Command{Register: &Register{ID: "a", ClusterID: "recovered"}}).Incarnation
	w.must(inc, Command{Undrain: &Undrain{VirtualStorage: vs, Storage: "p"}}, reach("p", "disk-p"))
	if got := w.VirtualStorage(vs).Storage("p").State; got != Backfilling {
		t.Errorf("it is %s", got)
	}
}

// TestState_Recover_keepsWhatIsKnown: whatever came before, a recovery takes for in sync
// nothing that was behind, and every repository has the primary that it had.
func TestState_Recover_keepsWhatIsKnown(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := &history{t: t, state: &State{}, restored: &State{}, model: newModel(), invariants: newInvariants(), seen: make(map[string]int)}
		h.send(Batch{Commands: []Command{{Register: &Register{ID: "1", ClusterID: "cluster"}}}})
		h.send(Batch{Incarnation: h.lives[0], Commands: []Command{
			define("p", "q", "r"), reach("p", "1"), reach("q", "1"), reach("r", "1"),
		}})
		for range rapid.IntRange(5, 120).Draw(t, "batches") {
			h.send(h.draw())
		}
		before := h.state
		after := before.Recover(recovery(before))
		must.Succeed(t, after.Check())
		before.Each("", func(k Key, e *Entry) bool {
			was, is := before.VirtualStorage(k.VirtualStorage), after.VirtualStorage(k.VirtualStorage)
			next := after.Entry(k)
			if next.HasLive() {
				t.Errorf("%v has a live intent", k)
			}
			if e.HasLive() && !next.HasDoubt() {
				t.Errorf("%v was written to and is not in doubt", k)
			}
			had, has := firstServing(was, e), firstServing(is, next)
			if has != had {
				t.Errorf("%v: the primary is %q, and it was %q", k, has, had)
			}
			inSync := 0
			for s := range is.InSync(next) {
				inSync++
				if e.IsBehind(s.Name) {
					t.Errorf("%v: %s was behind and is in sync", k, s.Name)
				}
			}
			if had == "" && before.kept(k) != after.kept(k) {
				t.Errorf("%v: nothing in sync served, and %q had it, now %q", k, before.kept(k), after.kept(k))
			}
			if inSync > 1 && !next.HasDoubt() {
				t.Errorf("%v: %d storages are in sync unverified: %v", k, inSync, next)
			}
			return true
		})
		for _, v := range after.VirtualStorages {
			if !slices.ContainsFunc(v.Succession, func(s Storage) bool { return s.State == Serving }) {
				t.Error("nothing serves")
			}
			var serving []string
			for s := range v.InSync(nil) {
				if s.State == Serving {
					serving = append(serving, s.Name)
				}
			}
			if beside, _ := v.NotCompared(); len(serving) > 0 && !slices.Equal(beside, serving[1:]) {
				t.Errorf("%q serve, and %q are not compared", serving, beside)
			}
		}
		if after.Known() != nil {
			return // a level above this program's was drawn: it reads no snapshot of that
		}
		var snapshot bytes.Buffer
		must.Succeed(t, after.WriteSnapshot(&snapshot))
		restored, err := readSnapshot(&snapshot, after.FeatureLevel()) // a history may raise it above this program's
		must.Succeed(t, err)
		if !slices.Equal(restored.Replaced, []string{"cluster"}) {
			t.Errorf("it replaces %q", restored.Replaced)
		}
	})
}

// kept names the storages that are not backfilled, and not behind for the repository.
func (s *State) kept(k Key) string {
	names := ""
	for _, st := range s.VirtualStorage(k.VirtualStorage).Succession {
		if st.State != Backfilling && !s.Entry(k).IsBehind(st.Name) {
			names += st.Name + " "
		}
	}
	return names
}

// firstServing is the first storage in sync for the repository that serves, "" if none is.
func firstServing(vs *VirtualStorage, e *Entry) string {
	for s := range vs.InSync(e) {
		if s.State == Serving {
			return s.Name
		}
	}
	return ""
}

// TestState_Recover_replacesEveryFormerCluster: an instance of any cluster that was replaced, by
// this recovery or an earlier one, must not keep this cluster from serving, also after a restart
// from a snapshot.
func TestState_Recover_replacesEveryFormerCluster(t *testing.T) {
	w := newFixture(t)
	first := w.ClusterID
	if first == "" || len(w.Replaced) != 0 {
		t.Fatalf("before any recovery cluster %q replaces %q", first, w.Replaced)
	}
	once := w.Recover(Recovery{Index: w.Index + 1, ClusterID: "second", By: "operator"})
	twice := once.Recover(Recovery{Index: once.Index + 1, ClusterID: "third", By: "operator"})
	for _, row := range []struct {
		name  string
		state *State
		want  []string
	}{
		{"the state that was recovered from", w.State, nil},
		{"one recovery", once, []string{first}},
		{"two recoveries", twice, []string{first, "second"}},
	} {
		if !slices.Equal(row.state.Replaced, row.want) {
			t.Errorf("%s: it replaces %q, want %q", row.name, row.state.Replaced, row.want)
		}
		restored, err := ReadSnapshot(strings.NewReader(snapshotOf(t, row.state)))
		must.Succeed(t, err)
		if !slices.Equal(restored.Replaced, row.want) {
			t.Errorf("%s: from a snapshot it replaces %q, want %q", row.name, restored.Replaced, row.want)
		}
		if next, _ := row.state.Apply(row.state.Index+1, Batch{Commands: []Command{{Register: &Register{ID: "n", ClusterID: row.state.ClusterID}}}}); !slices.Equal(next.Replaced, row.want) {
			t.Errorf("%s: after an entry it replaces %q, want %q", row.name, next.Replaced, row.want)
		}
	}
}

// TestState_Recover_whatReturnsIsCompared: a storage that is out and alone has a repository is
// kept. What it has of all others may be what a lost entry called behind.
func TestState_Recover_whatReturnsIsCompared(t *testing.T) {
	w := newFixture(t)
	w.must(alpha, open(Open), markBehind("p"), closing(false))
	w.out("p", WhyDead)
	w.State = w.Recover(recovery(w.State))
	p := w.VirtualStorage(vs).Storage("p")
	if p.State != Out || w.entry().IsBehind("p") {
		t.Fatalf("after the recovery: %+v, entry %q", *p, w.entry())
	}
	inc := w.must(0, Command{Register: &Register{ID: "a", Name: "praefect-1", ClusterID: "recovered"}}).Incarnation
	w.must(inc, reach("p", "disk-p"))
	if p = w.VirtualStorage(vs).Storage("p"); p.State != Backfilling || p.Uncompared != UncomparedLater {
		t.Errorf("after its return: %+v, want it to be backfilled, and compared", *p)
	}
	if e := w.entry(); !e.IsBehind("p") {
		t.Errorf("entry %q: it counts before it was compared", e)
	}
}

// TestVirtualStorage_NotCompared: a storage is compared once it was backfilled after the recovery, and
// each recovery counts anew.
func TestVirtualStorage_NotCompared(t *testing.T) {
	v := &VirtualStorage{}
	if names, _ := v.NotCompared(); names != nil {
		t.Errorf("without a recovery: %q", names)
	}
	line := func(what, storage string, to StorageState, at int64) Change {
		return Change{What: what, Storage: storage, To: to, Time: at}
	}
	for _, row := range []struct {
		line Change
		want string
	}{
		{line(ChangeRecovered, "", "", 7), ""},
		{line(ChangeRecovered, "q", "", 7), "q"},
		{line(ChangeRecovered, "r", "", 7), "q r"},
		{line("", "q", Out, 8), "q r"},
		{line(ChangeLossAccepted, "q", "", 8), "q r"},
		{line("", "q", Backfilling, 8), "r"},
		{line("", "r", "", 8), ""}, // removed
		{line(ChangeRecovered, "", "", 9), ""},
		{line(ChangeRecovered, "p", "", 9), "p"},
		{line(ChangeRecovered, "", "", 11), ""},
	} {
		v.History = append(v.History, row.line)
		if names, _ := v.NotCompared(); strings.Join(names, " ") != row.want {
			t.Errorf("after %+v: %q, want %q", row.line, names, row.want)
		}
	}
	if _, at := v.NotCompared(); at != 11 {
		t.Errorf("the recovery was at %d", at)
	}
}
