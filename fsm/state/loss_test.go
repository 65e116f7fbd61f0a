package state

import "testing"

func TestAcceptLoss(t *testing.T) {
	accept := func(storage string) func(*fixture) Command {
		return do(Command{AcceptLoss: &AcceptLoss{Key: Key{vs, repo}, Storage: storage}})
	}
	// lost leaves p, which alone has the repository, out.
	lost := func(w *fixture) {
		w.must(alpha, open(PrimaryOnly, "p"), deleting(DeletedSet, "p"), closing(false))
		w.out("p", WhyDead)
	}
	runRows(t, []row{
		{name: "one that is behind", given: lost, do: accept("q"), entry: "behind p+r"},
		{name: "one that is not", given: given(open(Open), markBehind("p"), closing(false)), do: accept("p"), entry: "behind q+r"},
		{name: "in-doubt intents stay", given: func(w *fixture) {
			w.must(beta, scoped(500, true, "p", "q"), closing(true))
			lost(w)
		}, do: func(w *fixture) Command {
			c := accept("q")(w)
			c.AcceptLoss.Ended = []DoubtRef{{beta, w.entry().Intent(beta).InDoubt.At}}
			return c
		}, entry: "in doubt(2) 500ms refs on p+q, behind p+r"},
		{name: "one onto which a copy may still come", given: func(w *fixture) {
			lost(w)
			w.must(beta, scoped(500, true, "q")) // of a copy, or of a removal before one
			w.must(beta, closing(true))
		}, do: accept("q"), refused: RefusedBusy},
		{name: "one that no copy in doubt is onto", given: func(w *fixture) {
			lost(w)
			w.must(beta, scoped(500, true, "q"), closing(true))
		}, do: accept("r"), entry: "in doubt(2) 500ms refs on q, behind p+q"},
		{name: "another doubt has ended", given: func(w *fixture) {
			lost(w)
			w.must(beta, scoped(500, true, "q"), closing(true))
		}, do: func(w *fixture) Command {
			c := accept("q")(w)
			c.AcceptLoss.Ended = []DoubtRef{{beta, w.entry().Intent(beta).InDoubt.At - 1}}
			return c
		}, refused: RefusedBusy},
		{name: "one that is out, of those", given: lost, do: accept("p"), entry: "behind q+r"},
		{name: "a fenced one, where none is in sync", given: func(w *fixture) { lost(w); w.fence("q") }, do: accept("q"),
			entry: "behind p+r"},

		{name: "a clean one", do: accept("p"), refused: RefusedUnknown},
		{name: "a live intent", given: given(open(Open)), do: accept("p"), refused: RefusedBusy},
		{name: "a live intent of another", given: func(w *fixture) { w.must(beta, open(PrimaryOnly)); lost(w) }, do: accept("q"),
			refused: RefusedBusy},
		{name: "one that is out, while one is in sync", given: func(w *fixture) {
			w.must(alpha, open(Open), closing(true))
			w.out("q", WhyDead)
		}, do: accept("q"), refused: RefusedState},
		{name: "a fenced one, while one is in sync", given: func(w *fixture) {
			w.must(alpha, open(Open), closing(true))
			w.fence("q")
		}, do: accept("q"), refused: RefusedState},
		{name: "a backfilling one", given: func(w *fixture) { lost(w); w.must(alpha, reach("r", "new")) }, do: accept("r"),
			refused: RefusedState},
		{name: "no such storage", given: lost, do: accept("x"), refused: RefusedUnknown},
		{name: "no such virtual storage", do: do(Command{AcceptLoss: &AcceptLoss{Key: Key{"x", repo}, Storage: "p"}}),
			refused: RefusedUnknown},
		{name: "no storage", do: accept(""), refused: RefusedInvalid},
		{name: "no path", do: do(Command{AcceptLoss: &AcceptLoss{Key: Key{vs, ""}, Storage: "p"}}), refused: RefusedInvalid},
	})
}

// TestAcceptLoss_ofAPrimaryThatIsAdvanced: an advance that was interrupted may still copy onto the
// primary, although that is in sync. Writes wait for its bound, and an operator's word does not let
// them pass.
func TestAcceptLoss_ofAPrimaryThatIsAdvanced(t *testing.T) {
	w := founded(t)
	w.must(beta, advance("q", "p"))
	w.must(alpha, Command{Retire: &Retire{Incarnation: beta, Proof: ProofOperator}})
	accept := &AcceptLoss{Key: Key{vs, repo}, Storage: "p"}
	w.refuses(alpha, Command{AcceptLoss: accept}, RefusedBusy)
	accept.Ended = []DoubtRef{{beta, w.entry().Intent(beta).InDoubt.At}}
	w.must(alpha, Command{AcceptLoss: accept})
	if p, ok := w.PrimaryOf(Key{vs, repo}); !ok || p.Name != "p" {
		t.Errorf("after it: the primary is %q (%t), want p", p.Name, ok)
	}
}

// TestAcceptLoss_healsFromTheChosenOne goes on to a clean repository.
func TestAcceptLoss_healsFromTheChosenOne(t *testing.T) {
	w := newFixture(t)
	w.must(beta, open(PrimaryOnly, "p"), markBehind("p"), closing(true))
	w.out("p", WhyDead)
	if !w.VirtualStorage(vs).Unavailable(w.entry()) {
		t.Fatal("the repository is available")
	}
	w.must(alpha, Command{AcceptLoss: &AcceptLoss{Key: Key{vs, repo}, Storage: "r"}})
	if p, ok := w.PrimaryOf(Key{vs, repo}); !ok || p.Name != "r" {
		t.Fatalf("the primary is %q (%t), want r", p.Name, ok)
	}
	w.must(alpha, reach("p", "disk-p"), open(Open, "p", "q"))
	w.must(alpha, resolveDoubt(w, "r"))
	w.must(alpha, markInSync(w.Index, "p", "q"), closing(false))
	if e := w.entry(); e != nil {
		t.Errorf("got %q, want a clean repository", e)
	}
}

// TestAcceptLoss_ofOneThatIsOut: the repository is available once that storage
// serves, on the disk that it had.
func TestAcceptLoss_ofOneThatIsOut(t *testing.T) {
	for disk, want := range map[string]string{"disk-p": "behind q+r", "new": "behind p+q+r"} {
		w := newFixture(t)
		w.must(alpha, open(PrimaryOnly, "p"), markBehind("p"), closing(false))
		w.out("p", WhyDead)
		w.must(alpha, Command{AcceptLoss: &AcceptLoss{Key: Key{vs, repo}, Storage: "p"}})
		if _, ok := w.PrimaryOf(Key{vs, repo}); ok {
			t.Errorf("disk %q: a primary before it is back", disk)
		}
		w.must(alpha, reach("p", disk))
		if got := w.entry().String(); got != want {
			t.Errorf("disk %q: got %q, want %q", disk, got, want)
		}
	}
}

// TestAcceptLoss_isInTheHistory with the repository, the storage and who wanted it.
func TestAcceptLoss_isInTheHistory(t *testing.T) {
	w := newFixture(t)
	w.must(beta, open(PrimaryOnly, "p"), markBehind("p"), closing(true))
	w.out("p", WhyDead)
	w.must(alpha, Command{AcceptLoss: &AcceptLoss{Key: Key{vs, repo}, Storage: "q", By: "operator: accept-dataloss (alice@desk): disk gone"}})
	h := w.VirtualStorage(vs).History
	got := h[len(h)-1]
	want := Change{
		Index: w.Index, Epoch: w.VirtualStorage(vs).Epoch, Time: got.Time, What: ChangeLossAccepted, Storage: "q", RelativePath: repo,
		By: "operator: accept-dataloss (alice@desk): disk gone",
	}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	lines := len(h)
	w.try(alpha, Command{AcceptLoss: &AcceptLoss{Key: Key{vs, repo}, Storage: "x"}})
	if got := len(w.VirtualStorage(vs).History); got != lines {
		t.Errorf("a refused one added %d lines", got-lines)
	}
}
