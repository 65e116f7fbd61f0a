package state

import "testing"

func remake(asOf Index, storage string) Command {
	return Command{Remake: &Remake{Key: Key{vs, repo}, Storage: storage, Why: "copies onto it failed 3 times", AsOf: asOf}}
}

func stepDown(asOf Index, storage string) Command {
	return Command{StepDown: &StepDown{Key: Key{vs, repo}, Storage: storage, Why: "it takes no writes", AsOf: asOf}}
}

// behindOn is a fixture in which alpha has an intent, and the storages are behind.
func behindOn(t *testing.T, storages ...string) *fixture {
	w := newFixture(t)
	w.must(alpha, open(Open, "p", "q", "r"))
	if len(storages) > 0 {
		w.must(alpha, markBehind("p", without([]string{"q", "r"}, storages)...))
	}
	return w
}

func TestRemake(t *testing.T) {
	for name, row := range map[string]struct {
		behind  []string
		setUp   func(w *fixture)
		storage string
		want    Reason
	}{
		"behind":              {behind: []string{"r"}, storage: "r"},
		"two are behind":      {behind: []string{"q", "r"}, storage: "r"},
		"in sync":             {behind: []string{"r"}, storage: "q", want: RefusedState},
		"the primary":         {behind: []string{"q", "r"}, storage: "p", want: RefusedState},
		"no such storage":     {behind: []string{"r"}, storage: "x", want: RefusedUnknown},
		"out":                 {behind: []string{"r"}, setUp: func(w *fixture) { w.out("r", WhyDead) }, storage: "r", want: RefusedState},
		"no primary":          {behind: []string{"q", "r"}, setUp: func(w *fixture) { w.fence("p") }, storage: "r", want: RefusedNotPrimary},
		"nobody is in sync":   {behind: []string{"q", "r"}, setUp: func(w *fixture) { w.out("p", WhyDead) }, storage: "r", want: RefusedNotPrimary},
		"in doubt":            {behind: []string{"r"}, setUp: func(w *fixture) { w.must(beta, open(Open, "q")); w.must(beta, closing(true)) }, storage: "r", want: RefusedBusy},
		"written by another":  {behind: []string{"r"}, setUp: func(w *fixture) { w.must(beta, open(Open, "q")) }, storage: "r", want: RefusedBusy},
		"in conflict":         {behind: []string{"r"}, setUp: func(w *fixture) { w.must(alpha, conflict(w.Index, "r")) }, storage: "r", want: RefusedConflict},
		"no intent":           {behind: []string{"r"}, setUp: func(w *fixture) { w.must(alpha, closing(false)) }, storage: "r", want: RefusedNoIntent},
		"no target":           {behind: []string{"r"}, setUp: func(w *fixture) { w.must(alpha, closing(false)); w.must(alpha, open(Open, "p")) }, storage: "r", want: RefusedNoIntent},
		"the only one served": {behind: []string{"r"}, setUp: func(w *fixture) { w.out("q", WhyDead) }, storage: "r"},
	} {
		t.Run(name, func(t *testing.T) {
			w := behindOn(t, row.behind...)
			if row.setUp != nil {
				row.setUp(w)
			}
			lines := len(w.VirtualStorage(vs).History)
			got := w.try(alpha, remake(w.Index, row.storage))
			if reason := reasonOf(got); reason != row.want {
				t.Fatalf("got %v, want %q", got.Refusal, row.want)
			}
			h := w.VirtualStorage(vs).History
			if row.want != "" {
				if len(h) != lines {
					t.Error("a refused one is in the history")
				}
				return
			}
			if last := h[len(h)-1]; last.What != ChangeRemade || last.Storage != row.storage || last.RelativePath != repo || last.Why == "" {
				t.Errorf("history: %+v", last)
			}
			if !w.entry().IsBehind(row.storage) {
				t.Errorf("entry: %v", w.entry())
			}
		})
	}
}

// What was found out of a replica before it was removed is not declared afterwards.
func TestRemake_isAChange(t *testing.T) {
	w := behindOn(t, "r")
	asOf := w.Index
	w.must(alpha, remake(asOf, "r"))
	if got := w.try(alpha, markInSync(asOf, "r")); reasonOf(got) != RefusedChanged {
		t.Errorf("got %v", got.Refusal)
	}
	w.must(alpha, markInSync(w.Index, "r"))
}

func TestRemake_onTheSameDisk(t *testing.T) {
	w := &fixture{t: t, State: &State{}}
	w.must(0, Command{Register: &Register{ID: "a", ClusterID: "cluster"}})
	w.must(alpha, define("p", "q"), reach("p", "disk"), reach("q", "disk"))
	w.fill("q")
	w.must(alpha, open(Open, "p", "q"))
	if got := w.try(alpha, stepDown(w.Index, "p")); reasonOf(got) != RefusedLast {
		t.Errorf("step down: got %v", got.Refusal)
	}
	w.must(alpha, markBehind("p"))
	if got := w.try(alpha, remake(w.Index, "q")); reasonOf(got) != RefusedLast {
		t.Errorf("remake: got %v", got.Refusal)
	}
}

func TestStepDown(t *testing.T) {
	for name, row := range map[string]struct {
		behind  []string
		setUp   func(w *fixture)
		storage string
		want    Reason
		primary string
	}{
		"the next one":       {storage: "p", primary: "q"},
		"the one after it":   {behind: []string{"q"}, storage: "p", primary: "r"},
		"no primary":         {storage: "q", want: RefusedNotPrimary},
		"the only copy":      {behind: []string{"q", "r"}, storage: "p", want: RefusedLast},
		"the next is fenced": {setUp: func(w *fixture) { w.fence("q") }, storage: "p", want: RefusedLast},
		"it is fenced":       {setUp: func(w *fixture) { w.fence("p") }, storage: "p", want: RefusedNotPrimary},
		"in doubt":           {setUp: func(w *fixture) { w.must(beta, open(Open, "q")); w.must(beta, closing(true)) }, storage: "p", want: RefusedBusy},
		"written by another": {setUp: func(w *fixture) { w.must(beta, open(Open, "q")) }, storage: "p", want: RefusedBusy},
		"no intent":          {setUp: func(w *fixture) { w.must(alpha, closing(false)) }, storage: "p", want: RefusedNoIntent},
	} {
		t.Run(name, func(t *testing.T) {
			w := behindOn(t, row.behind...)
			if row.setUp != nil {
				row.setUp(w)
			}
			before := w.Index
			got := w.try(alpha, stepDown(w.Index, row.storage))
			if reason := reasonOf(got); reason != row.want {
				t.Fatalf("got %v, want %q", got.Refusal, row.want)
			}
			if row.want != "" {
				return
			}
			if p, ok := w.PrimaryOf(Key{vs, repo}); !ok || p.Name != row.primary || !w.entry().IsBehind(row.storage) {
				t.Errorf("the primary is %q (%t), entry %v", p.Name, ok, w.entry())
			}
			if w.Shrunk(Key{vs, repo}) <= before {
				t.Error("the set of in-sync storages shrank, and readers are not waited for")
			}
			h := w.VirtualStorage(vs).History
			if last := h[len(h)-1]; last.What != ChangeSteppedDown || last.Storage != row.storage || last.RelativePath != repo || last.Why == "" {
				t.Errorf("history: %+v", last)
			}
		})
	}
}
