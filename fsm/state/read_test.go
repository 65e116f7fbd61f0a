package state

import (
	"slices"
	"strings"
	"testing"

	"praefect/test/must"
)

func TestState_Each(t *testing.T) {
	w := newFixture(t)
	w.must(alpha, Command{Define: &Define{VirtualStorage: "v2", Storages: []string{"p"}}}, paths(open(Open), "b", "a/b", "a"))
	elsewhere := paths(open(Open), "c")
	elsewhere.Open.VirtualStorage = "v2"
	w.must(alpha, elsewhere)
	walk := func(vs string, limit int) string {
		var keys []string
		w.Each(vs, func(k Key, e *Entry) bool {
			if e != w.Entry(k) {
				t.Errorf("%v: another entry than Entry returns", k)
			}
			keys = append(keys, k.VirtualStorage+":"+k.RelativePath)
			return len(keys) < limit
		})
		return strings.Join(keys, " ")
	}
	for _, r := range []struct {
		vs    string
		limit int
		want  string
	}{
		{"", 99, "v:a v:a/b v:b v2:c"},
		{"v", 99, "v:a v:a/b v:b"},
		{"v2", 99, "v2:c"},
		{"x", 99, ""},
		{"", 2, "v:a v:a/b"},
	} {
		if got := walk(r.vs, r.limit); got != r.want {
			t.Errorf("%q up to %d: got %q, want %q", r.vs, r.limit, got, r.want)
		}
	}
	if w.Len() != 4 {
		t.Errorf("length %d, want 4", w.Len())
	}
}

func TestState_zeroValue(t *testing.T) {
	s := &State{}
	s.Each("", func(Key, *Entry) bool { t.Error("an entry"); return true })
	if s.Entry(Key{vs, repo}) != nil || s.Len() != 0 || s.VirtualStorage(vs) != nil || s.Instance(1) != nil {
		t.Error("the zero state is not empty")
	}
	if err := s.Check(); err != nil {
		t.Error(err)
	}
}

func TestVirtualStorage_roles(t *testing.T) {
	for _, r := range []struct {
		name        string
		states      map[string]StorageState // of p, q, r; serving unless named
		behind      []string
		inSync      string
		primary     string
		unavailable bool
	}{
		{name: "clean", inSync: "p q r", primary: "p"},
		{name: "the first is behind", behind: []string{"p"}, inSync: "q r", primary: "q"},
		{name: "the first is out", states: map[string]StorageState{"p": Out}, inSync: "q r", primary: "q"},
		{name: "the first is backfilling", states: map[string]StorageState{"p": Backfilling}, inSync: "q r", primary: "q"},
		{name: "the first is fenced", states: map[string]StorageState{"p": Fenced}, inSync: "p q r"},
		{name: "the first is fenced and behind", states: map[string]StorageState{"p": Fenced}, behind: []string{"p"},
			inSync: "q r", primary: "q"},
		{name: "only a fenced one", states: map[string]StorageState{"q": Fenced}, behind: []string{"p", "r"},
			inSync: "q", unavailable: true},
		{name: "none", behind: []string{"p", "q", "r"}, unavailable: true},
	} {
		t.Run(r.name, func(t *testing.T) {
			v := &VirtualStorage{}
			for _, name := range []string{"p", "q", "r"} {
				s := Storage{Name: name, State: Serving}
				if storageState, ok := r.states[name]; ok {
					s.State = storageState
				}
				v.Succession = append(v.Succession, s)
			}
			var e *Entry
			if r.behind != nil {
				e = &Entry{Behind: r.behind}
			}
			var inSync []string
			for s := range v.InSync(e) {
				inSync = append(inSync, s.Name)
			}
			if got := strings.Join(inSync, " "); got != r.inSync {
				t.Errorf("in sync: got %q, want %q", got, r.inSync)
			}
			p, ok := v.Primary(e)
			if ok != (r.primary != "") || (ok && p.Name != r.primary) {
				t.Errorf("primary: got %q %t, want %q", p.Name, ok, r.primary)
			}
			if got := v.Unavailable(e); got != r.unavailable {
				t.Errorf("unavailable: got %t, want %t", got, r.unavailable)
			}
		})
	}
}

func TestEntry_intents(t *testing.T) {
	e := &Entry{Behind: []string{"r"}, Intents: []Intent{
		{Incarnation: 1, Kind: Open},
		{Incarnation: 2, InDoubt: &Doubt{At: 1}},
		{Incarnation: 5, Kind: PrimaryOnly, InDoubt: &Doubt{At: 1}},
	}}
	if !e.HasLive() || !e.HasPrimaryOnly() || !e.HasDoubt() || !e.IsBehind("r") || e.IsBehind("p") {
		t.Error("the entry does not tell its intents")
	}
	for inc, want := range map[Incarnation][2]bool{1: {true, true}, 2: {true, false}, 3: {}, 5: {true, true}} {
		if got := [2]bool{e.Intent(inc) != nil, e.Live(inc) != nil}; got != want {
			t.Errorf("incarnation %d: marked and live %v, want %v", inc, got, want)
		}
	}
	if open := (&Entry{Intents: e.Intents[:1]}); open.HasPrimaryOnly() || open.HasDoubt() {
		t.Error("an open intent is neither primary-only nor in doubt")
	}
	if inDoubt := (&Entry{Intents: e.Intents[1:2]}); inDoubt.HasLive() || inDoubt.HasPrimaryOnly() {
		t.Error("an in-doubt intent is not live")
	}
	var clean *Entry
	if clean.HasLive() || clean.HasPrimaryOnly() || clean.HasDoubt() || clean.IsBehind("p") ||
		clean.Intent(1) != nil || clean.Live(1) != nil {
		t.Error("a clean repository has intents")
	}
}

func TestRouting_doesNotAllocate(t *testing.T) {
	w := newFixture(t)
	w.must(alpha, open(Open), markBehind("p", "q"))
	k := Key{vs, "@hashed/6b/86/" + strings.Repeat("6b86b273ff34fce19d6b804eff5a3f57", 2) + ".git"}
	if n := testing.AllocsPerRun(100, func() {
		v := w.VirtualStorage(vs)
		for _, e := range []*Entry{w.Entry(k), w.entry()} {
			if _, ok := v.Primary(e); !ok || v.Unavailable(e) {
				t.Fatal("no primary")
			}
			for s := range v.InSync(e) {
				if s.State != Serving {
					t.Fatal("not serving")
				}
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestState_Behind(t *testing.T) {
	w := newFixture(t)
	behind := func(p, q, r int) {
		t.Helper()
		if got, want := [3]int{w.Behind(vs, "p"), w.Behind(vs, "q"), w.Behind(vs, "r")}, [3]int{p, q, r}; got != want {
			t.Errorf("got %v, want %v", got, want)
		}
	}
	behind(0, 0, 0)
	w.must(alpha, paths(open(Open), repo, "b.git"), paths(markBehind("p"), repo, "b.git"))
	before := w.State
	behind(0, 2, 2)
	w.must(alpha, markInSync(w.Index, "q"))
	behind(0, 1, 2)
	w.must(alpha, define("p", "q"))
	behind(0, 1, 0)
	w.must(alpha, paths(closing(false), repo, "b.git"))
	behind(0, 1, 0)
	if got := before.Behind(vs, "q"); got != 2 {
		t.Errorf("a former state says %d now, want 2", got)
	}
	if w.Behind("other", "q") != 0 || w.Behind(vs, "x") != 0 {
		t.Error("storages that are none are behind")
	}
}

func TestState_Shrunk(t *testing.T) {
	w := newFixture(t)
	k := Key{vs, repo}
	is := func(what string, want Index) {
		t.Helper()
		if got := w.Shrunk(k); got != want {
			t.Errorf("%s: got %d, want %d", what, got, want)
		}
	}
	last := w.Index
	is("a clean repository", last)
	w.must(alpha, open(Open))
	is("an intent", last)
	r := w.must(alpha, markBehind("p", "q")).Index
	is("behind", r)
	w.must(beta, open(Open), markBehind("p", "q"), closing(false))
	is("behind before", r)
	q := w.must(alpha, markBehind("p")).Index
	is("one more", q)
	w.must(alpha, markInSync(w.Index, "q"))
	is("one less", q)
	w.must(alpha, markInSync(w.Index, "r"))
	is("none", last)
	w.must(alpha, markBehind("p", "q"))
	w.fence("q")
	is("a fence", w.Index)
	w.admit(WhyDead, "q")
	out := w.Index
	is("one is out", out)
	w.must(alpha, open(Open), markBehind("p"))
	is("what is out falls behind", out)

	restored, err := ReadSnapshot(strings.NewReader(snapshotOf(t, w.State)))
	must.Succeed(t, err)
	w.State = restored
	is("restored", w.entry().Changed)
	changed := w.entry().Changed
	w.must(alpha, closing(false))
	is("restored and touched", changed)
	if got := (&State{}).Shrunk(k); got != 0 {
		t.Errorf("of no virtual storage: got %d, want 0", got)
	}
}

func TestState_PrimaryOf(t *testing.T) {
	w := newFixture(t)
	if p, ok := w.PrimaryOf(Key{vs, repo}); !ok || p.Name != "p" {
		t.Errorf("got %q (%t), want p", p.Name, ok)
	}
	if p, ok := w.PrimaryOf(Key{"other", repo}); ok {
		t.Errorf("no virtual storage: got %q", p.Name)
	}
}

func TestState_Check_findsWhatIsBroken(t *testing.T) {
	entry := func(change func(*Entry)) func(*State) {
		return func(s *State) {
			e := s.Entry(Key{vs, repo}).clone()
			change(e)
			s.ledger, _, _ = s.ledger.Insert(Key{vs, repo}.appendTo(nil), e)
		}
	}
	virtual := func(change func(*VirtualStorage)) func(*State) {
		return func(s *State) {
			v := *s.VirtualStorage(vs)
			v.Succession, v.History = slices.Clone(v.Succession), slices.Clone(v.History)
			change(&v)
			s.VirtualStorages = []VirtualStorage{v}
		}
	}
	fence := func(v *VirtualStorage, i int) {
		s := &v.Succession[i]
		s.State, s.Why, s.FencedEpoch = Fenced, WhySwitchover, v.Epoch
	}
	for name, breaks := range map[string]func(*State){
		"no cluster id":           func(s *State) { s.ClusterID = "" },
		"instances unsorted":      func(s *State) { s.Instances = []Instance{s.Instances[1], s.Instances[0]} },
		"instance to come":        func(s *State) { s.Instances = []Instance{{Incarnation: 99, ID: "a"}} },
		"storages unsorted":       func(s *State) { s.VirtualStorages = append(s.VirtualStorages, VirtualStorage{Name: "a"}) },
		"no name":                 virtual(func(v *VirtualStorage) { v.Name = "" }),
		"no epoch":                virtual(func(v *VirtualStorage) { v.Epoch = 0 }),
		"no storage":              virtual(func(v *VirtualStorage) { v.Succession = nil }),
		"none that serves":        virtual(func(v *VirtualStorage) { fence(v, 0); fence(v, 1); fence(v, 2) }),
		"fenced for nothing":      virtual(func(v *VirtualStorage) { fence(v, 0); v.Succession[0].Why = "" }),
		"fenced at no epoch":      virtual(func(v *VirtualStorage) { fence(v, 0); v.Succession[0].FencedEpoch = 0 }),
		"out for a switchover":    virtual(func(v *VirtualStorage) { fence(v, 0); v.Succession[0].State = Out }),
		"lease too long":          func(s *State) { s.LeaseMillis = 3001 },
		"storage twice":           virtual(func(v *VirtualStorage) { v.Succession = append(v.Succession, v.Succession[0]) }),
		"no state":                virtual(func(v *VirtualStorage) { v.Succession[0].State = "well" }),
		"why, but serving":        virtual(func(v *VirtualStorage) { v.Succession[0].Why = WhyDead }),
		"new, but serving":        virtual(func(v *VirtualStorage) { v.Succession[0].New = true }),
		"since never":             virtual(func(v *VirtualStorage) { v.Succession[0].Since = 0 }),
		"fenced in the future":    virtual(func(v *VirtualStorage) { v.Succession[0].FencedEpoch = 99 }),
		"history goes back":       virtual(func(v *VirtualStorage) { v.History[1].Index = 1 }),
		"history without end":     virtual(func(v *VirtualStorage) { v.History = slices.Repeat(v.History[:1], HistoryLength+1) }),
		"entry empty":             entry(func(e *Entry) { e.Intents, e.Behind = nil, nil }),
		"entry never changed":     entry(func(e *Entry) { e.Changed = 0 }),
		"entry of another":        func(s *State) { s.ledger, _, _ = s.ledger.Insert([]byte("x\x00a"), s.Entry(Key{vs, repo})) },
		"entry without path":      func(s *State) { s.ledger, _, _ = s.ledger.Insert([]byte("v\x00"), s.Entry(Key{vs, repo})) },
		"behind unsorted":         entry(func(e *Entry) { e.Behind = []string{"r", "q"} }),
		"behind unknown":          entry(func(e *Entry) { e.Behind = []string{"x"} }),
		"intents unsorted":        entry(func(e *Entry) { e.Intents = append(e.Intents, e.Intents[0]) }),
		"intent of nothing":       entry(func(e *Entry) { e.Intents[0].Kind, e.Intents[0].InDoubt = "", nil }),
		"intent without kind":     entry(func(e *Entry) { e.Intents[0].Kind = "ajar" }),
		"intent of the retired":   entry(func(e *Entry) { e.Intents[0].Incarnation = 99 }),
		"scope without an intent": entry(func(e *Entry) { e.Intents[0].Kind = "" }),
		"negative bound":          entry(func(e *Entry) { e.Intents[0].BoundMillis = -1 }),
		"in doubt since never":    entry(func(e *Entry) { e.Intents[0].InDoubt = &Doubt{} }),
		"in doubt after a change": entry(func(e *Entry) { e.Intents[0].InDoubt = &Doubt{At: e.Changed + 1} }),
		"target without a name":   entry(func(e *Entry) { e.Intents[0].Targets = []string{""} }),
		"targets not sorted":      entry(func(e *Entry) { e.Intents[0].Targets = []string{"q", "p"} }),
	} {
		w := newFixture(t)
		w.must(alpha, open(Open, "p"), closing(true), open(Open, "p"), markBehind("p"))
		s := *w.State
		breaks(&s)
		if err := s.Check(); err == nil {
			t.Errorf("%s: not found", name)
		}
		if err := w.Check(); err != nil {
			t.Errorf("%s: the case broke the state that it copied: %v", name, err)
		}
	}
}
