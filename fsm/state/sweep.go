package state

import (
	"slices"

	iradix "github.com/hashicorp/go-immutable-radix/v2"
)

// sweep is a change of every entry of the ledger, or of one virtual storage, that one command
// makes: storages fall behind, storages are removed, or an incarnation is retired. A ledger
// may have a million entries, and Apply must not hold up everything else for the seconds that
// changing them takes. So the command notes the sweep, every reader sees an entry through the
// sweeps that came after the entry's last change, and each Apply carries them out on some
// more entries.
//
// Sweeps are a way to hold the state, and no part of it: an entry as it is read, the counts
// and a snapshot are the same, to the byte, whether a sweep was carried out on the entry or
// not. So neither determinism nor any precondition of a command depends on how far it is.
type sweep struct {
	index Index
	vs    string // empty for all

	behind  []string    // storages that fall behind, or
	gone    []string    // that were removed, or
	retired Incarnation // the retired incarnation
}

// sweepStep is how many entries one Apply looks at to carry sweeps out: some tenths of a
// millisecond. Only tests change it.
var sweepStep = 32

// sweeps lists the sweeps that were not carried out on every entry yet. It is immutable.
type sweeps struct {
	// list is in the order of the commands.
	list []sweep
	// next is the key before which all of them were carried out on every entry.
	next []byte
}

// through returns the entry after the sweeps, nil if it says nothing any more. Its Changed
// becomes the index of the last one that touched it.
func (w sweeps) through(vs string, e *Entry) *Entry {
	if e == nil || len(w.list) == 0 || e.Changed >= w.list[len(w.list)-1].index {
		return e
	}
	since := e.Changed
	for i := range w.list {
		if s := &w.list[i]; s.index > since && s.concerns(vs) {
			if e = s.apply(e); e == nil {
				return nil
			}
		}
	}
	return e
}

func (w *sweep) concerns(vs string) bool { return w.vs == "" || w.vs == vs }

// apply returns the entry after the sweep, itself if it is not concerned, nil if it says
// nothing any more.
func (w *sweep) apply(e *Entry) *Entry {
	switch {
	case len(w.behind) > 0:
		e = e.clone()
		e.Behind = union(e.Behind, w.behind)
		e.dropConflicts(w.behind)
	case w.retired != 0:
		if e.Live(w.retired) == nil {
			return e
		}
		e = e.clone()
		e.closeIntent(w.retired, w.index, true, nil) // ▲ state-retire-forgets-intents
	default:
		forgotten := e.forget(w.gone)
		if forgotten == nil {
			return e
		}
		e = forgotten
	}
	if e.isEmpty() {
		return nil
	}
	e.Changed = w.index // ▲ state-retire-is-no-change
	return e
}

// add returns the sweeps and one more.
func (w sweeps) add(s sweep) sweeps {
	list := w.list
	// Of two that say that storages fall behind the later says it all, unless some were
	// removed in between: an entry may have said nothing in that moment.
	removed := 0
	for i := range list {
		if len(list[i].gone) > 0 {
			removed = i + 1
		}
	}
	list = append(slices.Clone(list[:removed]), slices.DeleteFunc(slices.Clone(list[removed:]), func(o sweep) bool {
		return len(s.behind) > 0 && o.vs == s.vs && len(o.behind) > 0 && len(without(o.behind, s.behind)) == 0
	})...)
	return sweeps{list: append(list, s)}
}

// sweep notes a sweep. An entry that this batch changed before it is changed at once: its index
// does not tell that it came before.
func (t *transition) sweep(s sweep) {
	s.index = t.index
	for _, key := range t.touched {
		e, _ := t.ledger.Get(key)
		if e != nil && s.concerns(parseKey(key).VirtualStorage) {
			t.set(key, s.apply(e))
		}
	}
	t.next.sweeps = t.next.sweeps.add(s)
	for i := range t.next.VirtualStorages {
		if vs := t.next.VirtualStorages[i].Name; s.concerns(vs) {
			t.tally.sweep(vs, &s)
		}
	}
}

// sweep counts all entries of the virtual storage after the sweep: entries that are alike remain
// so.
func (c counter) sweep(vs string, s *sweep) {
	type move struct {
		key   []byte
		group group
	}
	var moves []move
	c.groups.Root().WalkPrefix(append([]byte(vs), 0), func(key []byte, g group) bool {
		if s.apply(g.alike) != g.alike {
			moves = append(moves, move{key, g})
		}
		return false
	})
	for _, m := range moves {
		c.groups.Delete(m.key)
	}
	for _, m := range moves {
		if after := s.apply(m.group.alike); after != nil {
			c.add(appendAlike(nil, vs, after), after, m.group.n)
		}
	}
}

// carryOut carries the sweeps out on the next entries, and forgets them after the last one.
func (t *transition) carryOut() {
	w := t.next.sweeps
	if len(w.list) == 0 {
		return
	}
	type swept struct {
		key   []byte
		entry *Entry
	}
	var all []swept
	root := t.ledger.Commit().Root() // the code below changes copies
	it := root.Iterator()
	it.SeekLowerBound(w.next)
	next := []byte(nil)
	for looked := 0; ; looked++ {
		key, e, ok := it.Next()
		if !ok {
			break
		}
		if looked == sweepStep {
			next = key
			break
		}
		if after := w.through(parseKey(key).VirtualStorage, e); after != e {
			all = append(all, swept{key, after})
		}
	}
	for _, s := range all {
		t.set(s.key, s.entry)
	}
	if next == nil {
		t.next.sweeps = sweeps{}
		return
	}
	t.next.sweeps.next = next
}

// set replaces an entry without any change for its readers.
func (t *transition) set(key []byte, e *Entry) {
	if e == nil {
		t.ledger.Delete(key)
		return
	}
	t.ledger.Insert(key, e)
}

// seen is a walk over the ledger's entries as they are read.
func (w sweeps) seen(fn func(Key, *Entry) bool) iradix.WalkFn[*Entry] {
	return func(key []byte, e *Entry) bool {
		k := parseKey(key)
		e = w.through(k.VirtualStorage, e)
		return e != nil && !fn(k, e)
	}
}
