package state

import "testing"

func TestMarkInSync(t *testing.T) {
	now := func(storages ...string) func(*fixture) Command {
		return func(w *fixture) Command { return markInSync(w.Index, storages...) }
	}
	rBehind := func(w *fixture) { behind(w, "r") }
	runRows(t, []row{
		{name: "removes from what is behind", given: func(w *fixture) { behind(w, "q", "r") }, do: now("q"),
			entry: "open(1), behind r"},
		{name: "ignores what is not behind", given: rBehind, do: now("p", "q", "r", "x"), entry: "open(1)"},
		{name: "ends deleted when none is behind", given: given(open(Open), deleting(DeletedSet, "p", "q")),
			do: now("r"), entry: "open(1)"},
		{name: "keeps deleted while one is", given: given(open(Open), deleting(DeletedSet, "p")),
			do: now("r"), entry: "open(1), behind q, deleted"},
		{name: "an in-doubt intent of another does not block", given: func(w *fixture) {
			w.must(beta, open(Open), closing(true))
			behind(w, "r")
		}, do: now("r"), entry: "open(1), in doubt(2) on r"},
		{name: "beside doubt it joins the targets", given: func(w *fixture) {
			behind(w, "q", "r")
			w.must(beta, open(Open, "p"), closing(true))
		}, do: now("r"), entry: "open(1), in doubt(2) on p+r, behind q"},
		{name: "a backfilling storage", given: func(w *fixture) {
			w.must(alpha, reach("r", "new"))
			w.must(alpha, compared(w.VirtualStorage(vs).Storage("r")), open(Open))
		}, do: now("r"), entry: "open(1)"},
		{name: "a backfilling storage that is not compared", given: func(w *fixture) {
			w.must(alpha, reach("r", "new"), open(Open))
		}, do: now("r"), refused: RefusedState},

		{name: "changed since", given: rBehind, do: func(w *fixture) Command { return markInSync(w.entry().Changed-1, "r") },
			refused: RefusedChanged},
		{name: "a storage is out", given: func(w *fixture) { rBehind(w); w.out("r", WhyDead) }, do: now("r"),
			refused: RefusedChanged},
		{name: "a storage is fenced", given: func(w *fixture) { rBehind(w); w.fence("r") }, do: now("r"),
			refused: RefusedChanged},
		{name: "another's live intent", given: func(w *fixture) { rBehind(w); w.must(beta, open(Open)) }, do: now("r"),
			refused: RefusedBusy},
		{name: "no intent", given: func(w *fixture) { rBehind(w); w.must(alpha, closing(false)) }, do: now("r"),
			refused: RefusedNoIntent},
		{name: "clean", do: now("r"), refused: RefusedNoIntent},
		{name: "no primary to be equal to", given: func(w *fixture) { rBehind(w); w.fence("p") }, do: now("r"),
			refused: RefusedNotPrimary},
		{name: "index to come", given: rBehind, do: func(w *fixture) Command { return markInSync(w.Index+1, "r") },
			refused: RefusedInvalid},
		{name: "no storage named", given: rBehind, do: now(), refused: RefusedInvalid},
		{name: "no path", do: func(*fixture) Command {
			return Command{MarkInSync: &MarkInSync{Key: Key{vs, ""}, Storages: []string{"r"}}}
		}, refused: RefusedInvalid},
		{name: "no such virtual storage", do: func(*fixture) Command {
			return Command{MarkInSync: &MarkInSync{Key: Key{"other", repo}, Storages: []string{"r"}}}
		}, refused: RefusedUnknown},
	})
}

// leftInDoubt leaves an in-doubt intent of beta, of a write to all storages, and a
// live one of alpha to resolve it.
func leftInDoubt(w *fixture) {
	leftInDoubtOn(w, w.VirtualStorage(vs).names(func(*Storage) bool { return true })...)
}

func leftInDoubtOn(w *fixture, targets ...string) {
	w.must(beta, open(Open, targets...), closing(true))
	w.must(alpha, open(Open))
}

// resolveDoubt resolves every in-doubt intent as of now.
func resolveDoubt(w *fixture, authority string, equal ...string) Command {
	c := &ResolveDoubt{Key: Key{vs, repo}, Authority: authority, Equal: equal, AsOf: w.Index}
	if e := w.entry(); e != nil {
		for _, m := range e.Intents {
			if m.InDoubt != nil {
				c.Doubts = append(c.Doubts, DoubtRef{m.Incarnation, m.InDoubt.At})
			}
		}
	}
	return Command{ResolveDoubt: c}
}

func TestResolveDoubt(t *testing.T) {
	by := func(authority string, equal ...string) func(*fixture) Command {
		return func(w *fixture) Command { return resolveDoubt(w, authority, equal...) }
	}
	lacks := func(authority string, equal ...string) func(*fixture) Command {
		return func(w *fixture) Command {
			c := resolveDoubt(w, authority, equal...)
			c.ResolveDoubt.PrimaryLacks = true
			return c
		}
	}
	with := func(change func(*ResolveDoubt)) func(*fixture) Command {
		return func(w *fixture) Command {
			c := resolveDoubt(w, "p", "q", "r")
			change(c.ResolveDoubt)
			return c
		}
	}
	runRows(t, []row{
		{name: "all equal", given: leftInDoubt, do: by("p", "q", "r"), entry: "open(1)"},
		{name: "what was not found equal is behind", given: leftInDoubt, do: by("p", "q"), entry: "open(1), behind r"},
		{name: "one that was behind stays so", given: func(w *fixture) { behind(w, "r"); leftInDoubt(w) },
			do: by("p", "q", "r"), entry: "open(1), behind r"},
		{name: "what no intent touched stays in sync", given: func(w *fixture) { leftInDoubtOn(w, "q") }, do: by("p"), entry: "open(1), behind q"},
		{name: "only the primary was touched", given: func(w *fixture) { leftInDoubtOn(w, "p") }, do: by("p"), entry: "open(1)"},
		{name: "what no intent touched and was behind stays so", given: func(w *fixture) { behind(w, "r"); leftInDoubtOn(w, "q") },
			do: by("p", "q"), entry: "open(1), behind r"},
		{name: "the primary lacks it, and no intent touched another one", given: func(w *fixture) { leftInDoubtOn(w, "p", "q") },
			do: lacks("q"), entry: "open(1), behind p+r"},
		{name: "a backfilling one is behind", given: func(w *fixture) { w.must(alpha, reach("r", "new")); leftInDoubt(w) },
			do: by("p", "q", "r"), entry: "open(1), behind r"},
		{name: "one that is out is behind", given: func(w *fixture) { leftInDoubt(w); w.out("r", WhyDead) },
			do: by("p", "q", "r"), entry: "open(1), behind r"},
		{name: "a fenced one that is equal is not", given: func(w *fixture) { leftInDoubt(w); w.fence("r") },
			do: by("p", "q", "r"), entry: "open(1)"},
		{name: "a removed one is ignored", given: func(w *fixture) { w.must(alpha, define("p", "q")); leftInDoubt(w) },
			do: by("p", "q", "r"), entry: "open(1)"},
		{name: "the primary lacks it", given: leftInDoubt, do: lacks("q", "r"), entry: "open(1), behind p"},
		{name: "what the authority has is not deleted", given: func(w *fixture) {
			w.must(alpha, open(Open), deleting(DeletedSet, "p", "q"))
			leftInDoubt(w)
		}, do: lacks("q"), entry: "open(1), behind p+r"},
		{name: "own in-doubt intent", given: given(open(Open), closing(true), open(Open)), do: by("p"),
			entry: "open(1)"},
		{name: "only the intents named", given: func(w *fixture) { w.must(alpha, open(Open)); w.must(alpha, closing(true)); leftInDoubt(w) },
			do: func(w *fixture) Command {
				c := resolveDoubt(w, "p", "q", "r")
				c.ResolveDoubt.Doubts = c.ResolveDoubt.Doubts[1:]
				return c
			}, entry: "open(1), in doubt(1)"},

		{name: "an intent that is no more", given: leftInDoubt, do: with(func(c *ResolveDoubt) { c.Doubts[0].At-- }),
			refused: RefusedChanged},
		{name: "an intent of nobody", given: leftInDoubt, do: with(func(c *ResolveDoubt) { c.Doubts[0].Incarnation = 9 }),
			refused: RefusedChanged},
		{name: "changed since", given: leftInDoubt, do: with(func(c *ResolveDoubt) { c.AsOf-- }), refused: RefusedChanged},
		{name: "another's live intent", given: func(w *fixture) { leftInDoubt(w); w.must(beta, open(PrimaryOnly)) },
			do: by("p", "q", "r"), refused: RefusedBusy},
		{name: "no intent of its own", given: func(w *fixture) { leftInDoubt(w); w.must(alpha, closing(false)) },
			do: by("p", "q", "r"), refused: RefusedNoIntent},
		{name: "not the primary", given: leftInDoubt, do: by("q", "p", "r"), refused: RefusedNotPrimary},
		{name: "no primary", given: func(w *fixture) { leftInDoubt(w); w.fence("p") }, do: by("p", "q"),
			refused: RefusedNotPrimary},
		{name: "the primary lacks it, and is the authority", given: leftInDoubt, do: lacks("p", "q"),
			refused: RefusedNotPrimary},
		{name: "the authority is behind", given: func(w *fixture) { behind(w, "r"); leftInDoubt(w) }, do: lacks("r", "q"),
			refused: RefusedNotPrimary},
		{name: "the authority does not serve", given: func(w *fixture) { leftInDoubt(w); w.fence("r") }, do: lacks("r", "q"),
			refused: RefusedNotPrimary},
		{name: "the authority is no storage", given: leftInDoubt, do: lacks("x"), refused: RefusedNotPrimary},
		{name: "no authority", given: leftInDoubt, do: by("", "q"), refused: RefusedInvalid},
		{name: "no intent named", given: leftInDoubt, do: with(func(c *ResolveDoubt) { c.Doubts = nil }), refused: RefusedInvalid},
		{name: "an intent named twice", given: leftInDoubt, do: with(func(c *ResolveDoubt) { c.Doubts = append(c.Doubts, c.Doubts[0]) }),
			refused: RefusedInvalid},
		{name: "index to come", given: leftInDoubt, do: with(func(c *ResolveDoubt) { c.AsOf += 2 }), refused: RefusedInvalid},
	})
}

func TestResolveDoubt_leavesNothingOnceEqualAndClosed(t *testing.T) {
	w := newFixture(t)
	leftInDoubt(w)
	w.must(alpha, resolveDoubt(w, "p", "q", "r"), closing(false))
	if e := w.entry(); e != nil {
		t.Errorf("got %q, want a clean repository", e)
	}
}
