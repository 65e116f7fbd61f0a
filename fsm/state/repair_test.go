package state

import "testing"

func TestInSync(t *testing.T) {
	now := func(storages ...string) func(*world) Command {
		return func(w *world) Command { return insync(w.Index, storages...) }
	}
	rBehind := func(w *world) { behind(w, "r") }
	runRows(t, []row{
		{name: "removes from what is behind", given: func(w *world) { behind(w, "q", "r") }, do: now("q"),
			entry: "open(1), behind r"},
		{name: "ignores what is not behind", given: rBehind, do: now("p", "q", "r", "x"), entry: "open(1)"},
		{name: "ends deleted when none is behind", given: given(open(Open), deleting(DeletedSet, "p", "q")),
			do: now("r"), entry: "open(1)"},
		{name: "keeps deleted while one is", given: given(open(Open), deleting(DeletedSet, "p")),
			do: now("r"), entry: "open(1), behind q, deleted"},
		{name: "a dirty mark of another does not block", given: func(w *world) {
			w.must(beta, open(Open))
			w.must(beta, closing(true))
			behind(w, "r")
		}, do: now("r"), entry: "open(1), dirty(2)"},
		{name: "a filling storage", given: func(w *world) { w.must(alpha, reach("r", "new")); w.must(alpha, open(Open)) },
			do: now("r"), entry: "open(1)"},

		{name: "changed since", given: rBehind, do: func(w *world) Command { return insync(w.entry().Changed-1, "r") },
			refused: RefusedChanged},
		{name: "a storage is out", given: func(w *world) { rBehind(w); w.out("r", WhyDead) }, do: now("r"),
			refused: RefusedChanged},
		{name: "a storage is fenced", given: func(w *world) { rBehind(w); w.fence("r") }, do: now("r"),
			refused: RefusedChanged},
		{name: "another's live mark", given: func(w *world) { rBehind(w); w.must(beta, open(Open)) }, do: now("r"),
			refused: RefusedBusy},
		{name: "no mark", given: func(w *world) { rBehind(w); w.must(alpha, closing(false)) }, do: now("r"),
			refused: RefusedNoMark},
		{name: "ordinary", do: now("r"), refused: RefusedNoMark},
		{name: "no primary to be equal to", given: func(w *world) { rBehind(w); w.fence("p") }, do: now("r"),
			refused: RefusedNotPrimary},
		{name: "index to come", given: rBehind, do: func(w *world) Command { return insync(w.Index+1, "r") },
			refused: RefusedInvalid},
		{name: "no storage named", given: rBehind, do: now(), refused: RefusedInvalid},
		{name: "no path", do: func(*world) Command {
			return Command{InSync: &InSync{Key: Key{vs, ""}, Storages: []string{"r"}}}
		}, refused: RefusedInvalid},
		{name: "no such virtual storage", do: func(*world) Command {
			return Command{InSync: &InSync{Key: Key{"other", repo}, Storages: []string{"r"}}}
		}, refused: RefusedUnknown},
	})
}

// dirtied leaves a dirty mark of beta, and a live one of alpha to settle it.
func dirtied(w *world) {
	w.must(beta, open(Open))
	w.must(beta, closing(true))
	w.must(alpha, open(Open))
}

// settle settles every dirty mark as of now.
func settle(w *world, authority string, equal ...string) Command {
	c := &Settle{Key: Key{vs, repo}, Authority: authority, Equal: equal, AsOf: w.Index}
	if e := w.entry(); e != nil {
		for _, m := range e.Marks {
			if m.Dirty != nil {
				c.Marks = append(c.Marks, DirtyRef{m.Incarnation, m.Dirty.At})
			}
		}
	}
	return Command{Settle: c}
}

func TestSettle(t *testing.T) {
	by := func(authority string, equal ...string) func(*world) Command {
		return func(w *world) Command { return settle(w, authority, equal...) }
	}
	lacks := func(authority string, equal ...string) func(*world) Command {
		return func(w *world) Command {
			c := settle(w, authority, equal...)
			c.Settle.PrimaryLacks = true
			return c
		}
	}
	with := func(change func(*Settle)) func(*world) Command {
		return func(w *world) Command {
			c := settle(w, "p", "q", "r")
			change(c.Settle)
			return c
		}
	}
	runRows(t, []row{
		{name: "all equal", given: dirtied, do: by("p", "q", "r"), entry: "open(1)"},
		{name: "what was not found equal is behind", given: dirtied, do: by("p", "q"), entry: "open(1), behind r"},
		{name: "one that was behind stays so", given: func(w *world) { behind(w, "r"); dirtied(w) },
			do: by("p", "q", "r"), entry: "open(1), behind r"},
		{name: "a filling one is behind", given: func(w *world) { w.must(alpha, reach("r", "new")); dirtied(w) },
			do: by("p", "q", "r"), entry: "open(1), behind r"},
		{name: "one that is out is behind", given: func(w *world) { dirtied(w); w.out("r", WhyDead) },
			do: by("p", "q", "r"), entry: "open(1), behind r"},
		{name: "a fenced one that is equal is not", given: func(w *world) { dirtied(w); w.fence("r") },
			do: by("p", "q", "r"), entry: "open(1)"},
		{name: "a removed one is ignored", given: func(w *world) { w.must(alpha, define("p", "q")); dirtied(w) },
			do: by("p", "q", "r"), entry: "open(1)"},
		{name: "the primary lacks it", given: dirtied, do: lacks("q", "r"), entry: "open(1), behind p"},
		{name: "what the authority has is not deleted", given: func(w *world) {
			w.must(alpha, open(Open))
			w.must(alpha, deleting(DeletedSet, "p", "q"))
			dirtied(w)
		}, do: lacks("q"), entry: "open(1), behind p+r"},
		{name: "own dirty mark", given: given(open(Open), closing(true), open(Open)), do: by("p", "q", "r"),
			entry: "open(1)"},
		{name: "only the marks named", given: func(w *world) { w.must(alpha, open(Open)); w.must(alpha, closing(true)); dirtied(w) },
			do: func(w *world) Command {
				c := settle(w, "p", "q", "r")
				c.Settle.Marks = c.Settle.Marks[1:]
				return c
			}, entry: "open(1), dirty(1)"},

		{name: "a mark that is no more", given: dirtied, do: with(func(c *Settle) { c.Marks[0].At-- }),
			refused: RefusedChanged},
		{name: "a mark of nobody", given: dirtied, do: with(func(c *Settle) { c.Marks[0].Incarnation = 9 }),
			refused: RefusedChanged},
		{name: "changed since", given: dirtied, do: with(func(c *Settle) { c.AsOf-- }), refused: RefusedChanged},
		{name: "another's live mark", given: func(w *world) { dirtied(w); w.must(beta, open(Solo)) },
			do: by("p", "q", "r"), refused: RefusedBusy},
		{name: "no mark of its own", given: func(w *world) { dirtied(w); w.must(alpha, closing(false)) },
			do: by("p", "q", "r"), refused: RefusedNoMark},
		{name: "not the primary", given: dirtied, do: by("q", "p", "r"), refused: RefusedNotPrimary},
		{name: "no primary", given: func(w *world) { dirtied(w); w.fence("p") }, do: by("p", "q"),
			refused: RefusedNotPrimary},
		{name: "the primary lacks it, and is the authority", given: dirtied, do: lacks("p", "q"),
			refused: RefusedNotPrimary},
		{name: "the authority is behind", given: func(w *world) { behind(w, "r"); dirtied(w) }, do: lacks("r", "q"),
			refused: RefusedNotPrimary},
		{name: "the authority does not serve", given: func(w *world) { dirtied(w); w.fence("r") }, do: lacks("r", "q"),
			refused: RefusedNotPrimary},
		{name: "the authority is no storage", given: dirtied, do: lacks("x"), refused: RefusedNotPrimary},
		{name: "no authority", given: dirtied, do: by("", "q"), refused: RefusedInvalid},
		{name: "no mark named", given: dirtied, do: with(func(c *Settle) { c.Marks = nil }), refused: RefusedInvalid},
		{name: "a mark named twice", given: dirtied, do: with(func(c *Settle) { c.Marks = append(c.Marks, c.Marks[0]) }),
			refused: RefusedInvalid},
		{name: "index to come", given: dirtied, do: with(func(c *Settle) { c.AsOf += 2 }), refused: RefusedInvalid},
	})
}

func TestSettle_leavesNothingOnceEqualAndClosed(t *testing.T) {
	w := newWorld(t)
	dirtied(w)
	w.must(alpha, settle(w, "p", "q", "r"))
	w.must(alpha, closing(false))
	if e := w.entry(); e != nil {
		t.Errorf("got %q, want an ordinary repository", e)
	}
}
