package state

import (
	"fmt"
	"slices"
)

// Wish asks every other instance to let a repair of the repository have its turn: to close
// its lingering intent, and to have new writes wait, for a while. Without it two instances
// that write often keep each other's repairs from ever being declared.
//
// It binds no instance: each instance heeds it until BoundMillis after it applied it, by its own
// clock, and no rule of the state asks for it. It ends with the proposer's intent, with its
// incarnation, or by a wish of 0. A later one replaces it.
type Wish struct {
	Key
	BoundMillis int64 `json:"bound_ms,omitempty"`
}

// Wished is a wish on an entry.
type Wished struct {
	Incarnation Incarnation `json:"incarnation"`
	// At is the index of the wish, which names it.
	At          Index `json:"at"`
	BoundMillis int64 `json:"bound_ms"`
}

// maxWish bounds a wish: no setting and no mistake makes writes wait for longer.
const maxWish = 60_000

func (c *Wish) invalid() string {
	if c.BoundMillis < 0 || c.BoundMillis > maxWish {
		return fmt.Sprintf("a wish of %d ms: at most %d", c.BoundMillis, maxWish)
	}
	return c.Key.bad()
}

func (c *Wish) apply(t *transition) *Refusal {
	e := t.entry(c.Key)
	switch {
	case e == nil:
		return refuse(RefusedUnknown, "%q in %q is clean: there is nothing to repair", c.RelativePath, c.VirtualStorage)
	case c.BoundMillis == 0 && (e.Wish == nil || e.Wish.Incarnation != t.proposer):
		return nil // another one replaced it, or it has ended
	}
	e = e.clone()
	e.Wish = nil
	if c.BoundMillis > 0 {
		e.Wish = &Wished{Incarnation: t.proposer, At: t.index, BoundMillis: c.BoundMillis}
	}
	t.put(c.Key, e)
	return nil
}

// endWishes ends the wishes of an incarnation that is retired. There are few at a time.
func (t *transition) endWishes(inc Incarnation) {
	for _, k := range t.next.wishes {
		if e := t.entry(k); e != nil && e.Wish != nil && e.Wish.Incarnation == inc {
			e = e.clone()
			e.Wish = nil
			t.put(k, e)
		}
	}
}

// Wishes returns the keys of the entries with a wish; some may have none any more. The
// slice must not be changed.
func (s *State) Wishes() []Key { return s.wishes }

// noteWish keeps the list of wishes when an entry is replaced; nil is none.
func noteWish(list []Key, k Key, before, after *Entry) []Key {
	was, is := before != nil && before.Wish != nil, after != nil && after.Wish != nil
	if was == is {
		return list
	}
	i, found := slices.BinarySearchFunc(list, k, Key.Compare)
	switch {
	case is && !found:
		return slices.Insert(slices.Clone(list), i, k)
	case !is && found:
		return slices.Delete(slices.Clone(list), i, i+1)
	}
	return list
}

// checkWish checks I7 for a wish.
func (s *State) checkWish(e *Entry) error {
	switch w := e.Wish; {
	case w == nil:
	case s.Instance(w.Incarnation) == nil:
		return fmt.Errorf("a wish of incarnation %d, which is not live", w.Incarnation)
	case w.At == 0 || w.At > e.Changed || w.BoundMillis <= 0 || w.BoundMillis > maxWish:
		return fmt.Errorf("a wish of %d ms at index %d", w.BoundMillis, w.At)
	}
	return nil
}
