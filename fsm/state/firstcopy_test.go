package state

import (
	"strings"
	"testing"
)

// founded has p serving, and q and r of the same beginning, which are reached and
// not compared.
func founded(t *testing.T) *fixture {
	w := &fixture{t: t, State: &State{}}
	w.must(0, Command{Register: &Register{ID: "a", ClusterID: "cluster"}}, Command{Register: &Register{ID: "b"}})
	w.must(alpha, define("p", "q", "r"))
	for _, name := range []string{"p", "q", "r"} {
		w.must(alpha, reach(name, "disk-"+name))
	}
	return w
}

func compared(s *Storage) Command {
	return Command{Compared: &Compared{VirtualStorage: vs, Storage: s.Name, Since: s.Since}}
}

func advance(source string, targets ...string) Command {
	return Command{Advance: &Advance{Key: Key{vs, repo}, Source: source, Scope: Scope{BoundMillis: 9, Targets: targets}}}
}

func endAdvance(asOf Index, primary string, equal ...string) Command {
	return Command{EndAdvance: &EndAdvance{Key: Key{vs, repo}, Primary: primary, Equal: equal, AsOf: asOf}}
}

func conflict(asOf Index, storages ...string) Command {
	c := &MarkConflict{Key: Key{vs, repo}, AsOf: asOf}
	for _, s := range storages {
		c.Conflicts = append(c.Conflicts, Conflict{Storage: s, Primary: "p", Time: 1, Differing: 1,
			Sample: []DifferingReference{{Name: "refs/heads/main", Here: "1", There: "2"}}})
	}
	return Command{MarkConflict: c}
}

func TestCompared(t *testing.T) {
	w := founded(t)
	q := w.VirtualStorage(vs).Storage("q")
	backfilled := Command{Rejoin: &Rejoin{VirtualStorage: vs, Storage: "q", FilesystemID: q.FilesystemID, Backfilled: q.Since}}
	for _, step := range []struct {
		name    string
		do      Command
		refused Reason
		want    Uncompared
	}{
		{"serves before it is compared", backfilled, RefusedState, UncomparedFounding},
		{"another backfill", Command{Compared: &Compared{VirtualStorage: vs, Storage: "q", Since: q.Since - 1}}, RefusedChanged, UncomparedFounding},
		{"no such storage", Command{Compared: &Compared{VirtualStorage: vs, Storage: "x"}}, RefusedUnknown, UncomparedFounding},
		{"one that serves", Command{Compared: &Compared{VirtualStorage: vs, Storage: "p"}}, RefusedChanged, UncomparedFounding},
		{"compared", compared(q), "", ""},
		{"another disk", reach("q", "new"), "", UncomparedLater},
		{"the former backfill", backfilled, RefusedChanged, UncomparedLater},
	} {
		got := w.try(alpha, step.do)
		if reason := reasonOf(got); reason != step.refused {
			t.Errorf("%s: refused %q, want %q (%v)", step.name, reason, step.refused, got.Refusal)
		}
		if got := w.VirtualStorage(vs).Storage("q").Uncompared; got != step.want {
			t.Errorf("%s: uncompared %q, want %q", step.name, got, step.want)
		}
	}
	w.fill("q")
	if s := w.VirtualStorage(vs).Storage("q"); s.State != Serving || s.Uncompared != "" {
		t.Errorf("q is %+v", s)
	}
	w.must(alpha, define("p", "q", "r", "s"))
	if got := w.VirtualStorage(vs).Storage("s").Uncompared; got != UncomparedLater {
		t.Errorf("a storage that is added is uncompared as %q", got)
	}
}

func reasonOf(r Result) Reason {
	if r.Refusal == nil {
		return ""
	}
	return r.Refusal.Reason
}

// TestAdvance goes through one, and through one that is interrupted.
func TestAdvance(t *testing.T) {
	w := founded(t)
	w.must(alpha, advance("q", "p"))
	if got, want := w.entry().String(), "primary-only(1) 9ms on p, advancing from q"; got != want {
		t.Fatalf("got %q, want %q", got, want)
	}
	if p, ok := w.PrimaryOf(Key{vs, repo}); ok || p.Name != "p" {
		t.Errorf("the primary is %q (%t) while it is copied onto", p.Name, ok)
	}
	if w.VirtualStorage(vs).Unavailable(w.entry()) {
		t.Error("the repository cannot be read")
	}
	for name, c := range map[string]Command{"an intent": open(Open, "p"), "an account": markBehind("p"), "another advance": advance("", "p")} {
		if got := w.try(beta, c); got.Refusal == nil {
			t.Errorf("%s of another instance is applied", name)
		}
	}
	w.must(alpha, endAdvance(w.Index, "p"))
	if got, want := w.entry().String(), "primary-only(1) 9ms on p"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	w.must(alpha, closing(false))
	if w.entry() != nil {
		t.Errorf("got %q, want a clean repository", w.entry())
	}
	w.must(alpha, advance("r", "p"), closing(true))
	if got, want := w.entry().String(), "in doubt(1) 9ms on p, advancing from r"; got != want {
		t.Fatalf("got %q, want %q", got, want)
	}
	inDoubt := DoubtRef{alpha, w.Index}
	w.must(beta, advance(""))
	unnamed := endAdvance(w.Index, "p")
	if got := reasonOf(w.try(beta, unnamed)); got != RefusedChanged {
		t.Errorf("an in-doubt intent is forgotten: %q", got)
	}
	end := endAdvance(w.Index, "p")
	end.EndAdvance.Doubts = []DoubtRef{inDoubt}
	w.must(beta, end, closing(false))
	if w.entry() != nil {
		t.Errorf("got %q, want a clean repository", w.entry())
	}
}

// TestAdvance_refused: what clients have written since the storages were defined
// must not be undone.
func TestAdvance_refused(t *testing.T) {
	for _, row := range []struct {
		name  string
		given func(*fixture)
		do    Command
		want  Reason
	}{
		{"a repository that was written", func(w *fixture) {
			w.must(beta, open(Open, "p"), closing(false))
		}, advance("q", "p"), RefusedChanged},
		{"a source that was compared", func(w *fixture) { w.must(alpha, compared(w.VirtualStorage(vs).Storage("q"))) },
			advance("q", "p"), RefusedState},
		{"a source that serves", func(w *fixture) {}, advance("p", "p"), RefusedState},
		{"a source on another disk", func(w *fixture) { w.must(alpha, reach("q", "other")) }, advance("q", "p"), RefusedState},
		{"no such source", func(*fixture) {}, advance("x", "p"), RefusedUnknown},
		{"no such target", func(*fixture) {}, advance("q", "x"), RefusedUnknown},
		{"nothing to take up", func(*fixture) {}, advance("", "p"), RefusedChanged},
		{"no advance to end", func(w *fixture) { w.must(alpha, open(PrimaryOnly, "p")) }, endAdvance(9, "p"), RefusedChanged},
		{"the end of another's", func(w *fixture) { w.must(beta, advance("q", "p")) }, endAdvance(9, "p"), RefusedNoIntent},
		{"another primary", func(w *fixture) { w.must(alpha, advance("q", "p")) }, endAdvance(6, "q"), RefusedNotPrimary},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := founded(t)
			row.given(w)
			before := w.entry().String()
			if c := row.do.EndAdvance; c != nil {
				c.AsOf = w.Index
			}
			if got := w.try(alpha, row.do); reasonOf(got) != row.want {
				t.Errorf("refused %q, want %q", reasonOf(got), row.want)
			}
			if got := w.entry().String(); got != before {
				t.Errorf("%q became %q", before, got)
			}
		})
	}
}

// TestEndAdvance_accountsForEveryStorage: one that served beside the primary, and
// one that is out, lack what was copied.
func TestEndAdvance_accountsForEveryStorage(t *testing.T) {
	w := founded(t)
	for _, equal := range []string{"", "q"} {
		if equal == "" {
			w.must(alpha, compared(w.VirtualStorage(vs).Storage("q")))
			w.fill("q")
		}
		w.must(alpha, advance("r", "p"))
		var same []string
		if equal != "" {
			same = []string{equal}
		}
		w.must(alpha, endAdvance(w.Index, "p", same...), closing(false))
		want := "clean"
		if equal == "" {
			want = "behind q"
		}
		if got := w.entry().String(); got != want {
			t.Errorf("equal %q: got %q, want %q", same, got, want)
		}
		if equal == "" { // q is repaired; r falls behind by the intent
			w.must(alpha, open(PrimaryOnly, "q"))
			w.must(alpha, markInSync(w.Index, "q"), closing(false))
			if got := w.entry().String(); got != "behind r" {
				t.Errorf("got %q, want %q", got, "behind r")
			}
			w = founded(t)
			w.must(alpha, compared(w.VirtualStorage(vs).Storage("q")))
			w.fill("q")
		}
	}
}

func TestMarkConflict(t *testing.T) {
	now := func(storages ...string) func(*fixture) Command {
		return func(w *fixture) Command { return conflict(w.Index, storages...) }
	}
	qBehind := func(w *fixture) { behind(w, "q") }
	runRows(t, []row{
		{name: "of one that is behind", given: qBehind, do: now("q"), entry: "open(1), behind q, conflict q"},
		{name: "of one that is backfilling", given: func(w *fixture) { w.must(alpha, reach("r", "new")); w.must(alpha, open(Open)) },
			do: now("r"), entry: "open(1), behind r, conflict r"},
		{name: "one that is not named any more", given: func(w *fixture) { behind(w, "q", "r"); w.must(alpha, conflict(w.Index, "q", "r")) },
			do: now("r"), entry: "open(1), behind q+r, conflict r"},
		{name: "none", given: func(w *fixture) { qBehind(w); w.must(alpha, conflict(w.Index, "q")) }, do: now(),
			entry: "open(1), behind q"},
		{name: "one that was removed", given: qBehind, do: now("x"), entry: "open(1), behind q"},
		{name: "no copy ends it", given: func(w *fixture) { qBehind(w); w.must(alpha, conflict(w.Index, "q")) },
			do: func(w *fixture) Command { return markInSync(w.Index, "q") }, refused: RefusedConflict},
		{name: "a resolution does not end it", given: func(w *fixture) {
			w.must(beta, open(Open), closing(true))
			qBehind(w)
			w.must(alpha, conflict(w.Index, "q"))
		}, do: func(w *fixture) Command { return resolveDoubt(w, "p", "q", "r") }, entry: "open(1), behind q, conflict q"},
		{name: "a write does not end it", given: func(w *fixture) { qBehind(w); w.must(alpha, conflict(w.Index, "q")) },
			do: do(markBehind("p", "q", "r")), entry: "open(1), behind q, conflict q"},

		{name: "of one in sync", given: qBehind, do: now("r"), refused: RefusedState},
		{name: "changed since", given: qBehind, do: func(w *fixture) Command { return conflict(w.entry().Changed-1, "q") },
			refused: RefusedChanged},
		{name: "another's live intent", given: func(w *fixture) { qBehind(w); w.must(beta, open(Open)) }, do: now("q"),
			refused: RefusedBusy},
		{name: "no intent", do: now("q"), refused: RefusedNoIntent},
		{name: "named twice", given: qBehind, do: now("q", "q"), refused: RefusedInvalid},
		{name: "too long", given: qBehind, do: func(w *fixture) Command {
			c := conflict(w.Index, "q")
			c.MarkConflict.Conflicts[0].Here.Commit = strings.Repeat("x", conflictText+1)
			return c
		}, refused: RefusedInvalid},
	})
}

// TestMarkConflict_isResolved: an operator names the storage that counts, also the
// one without the repository.
func TestMarkConflict_isResolved(t *testing.T) {
	w := newFixture(t)
	behind(w, "q")
	w.must(alpha, conflict(w.Index, "q"))
	if got := w.InConflict(vs); got != 1 {
		t.Errorf("%d repositories in conflict, want 1", got)
	}
	w.must(alpha, closing(false), Command{AcceptLoss: &AcceptLoss{Key: Key{vs, repo}, Storage: "q"}})
	if got, want := w.entry().String(), "behind p+r, deleted"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := w.InConflict(vs); got != 0 {
		t.Errorf("%d repositories in conflict, want 0", got)
	}
	w.must(alpha, open(PrimaryOnly, "p", "r"))
	w.must(alpha, markInSync(w.Index, "p", "r"), closing(false))
	if w.entry() != nil {
		t.Errorf("got %q, want a clean repository", w.entry())
	}
}

// TestMarkConflict_goesWithItsReplica: with another disk there is nothing left to keep.
func TestMarkConflict_goesWithItsReplica(t *testing.T) {
	w := newFixture(t)
	behind(w, "q")
	w.must(alpha, conflict(w.Index, "q"), closing(false), reach("q", "new"))
	if got, want := w.entry().String(), "behind q"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestShorten(t *testing.T) {
	for text, want := range map[string]string{
		"refs/heads/main":                 "refs/heads/main",
		"a\xffb":                          "a\uFFFDb",
		strings.Repeat("ü", conflictText): strings.Repeat("ü", (conflictText-3)/2) + "…",
	} {
		if got := Shorten(text); got != want {
			t.Errorf("Shorten(%q): got %q, want %q", text, got, want)
		}
	}
}

// TestDefine_keepsAStorageInConflict: what only its replica has would be forgotten with it.
func TestDefine_keepsAStorageInConflict(t *testing.T) {
	w := newFixture(t)
	w.must(alpha, open(Open), markBehind("p", "q"))
	w.must(alpha, conflict(w.Index, "r"), closing(false))
	if why := w.WhyKept(vs, []string{"r"}); why == nil || why.Reason != RefusedInUse {
		t.Errorf("it may be removed: %v", why)
	}
	w.refuses(alpha, define("p", "q"), RefusedInUse)
	w.must(alpha, define("p", "r")) // another one may go
	w.must(alpha, Command{AcceptLoss: &AcceptLoss{Key: Key{vs, repo}, Storage: "p"}}, define("p"))
}
