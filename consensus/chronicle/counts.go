package chronicle

import (
	"slices"

	"praefect/fsm/state"
)

// Counts is how many repositories a change concerns, after it.
type Counts struct {
	// Moved counts the listed repositories that have another primary than before. The clean
	// ones, which the state does not count, move if CleanMoved.
	Moved      int
	CleanMoved bool
	// Unavailable counts the repositories that no storage can serve, Behind the repositories of which
	// one of the change's storages misses a write.
	Unavailable, Behind int
}

// Count counts them. It walks the ledger: the leader must not do so in its loop.
func (c *Change) Count() Counts {
	counts := Counts{CleanMoved: c.PrimaryBefore != "" && c.Primary != "" && c.PrimaryBefore != c.Primary}
	vs := c.after.VirtualStorage(c.VirtualStorage)
	if vs == nil {
		return counts
	}
	former := c.before.VirtualStorage(c.VirtualStorage)
	each := func(key state.Key, e *state.Entry) bool {
		if vs.Unavailable(e) {
			counts.Unavailable++
		}
		if slices.ContainsFunc(c.Storages, e.IsBehind) {
			counts.Behind++
		}
		if former == nil {
			return true
		}
		was, _ := former.Primary(c.before.Entry(key))
		if is, _ := vs.Primary(e); is.Name != was.Name {
			counts.Moved++
		}
		return true
	}
	if c.RelativePath != "" {
		key := state.Key{VirtualStorage: vs.Name, RelativePath: c.RelativePath}
		if e := c.after.Entry(key); e != nil {
			each(key, e)
		}
		counts.CleanMoved = false
		return counts
	}
	c.after.Each(vs.Name, each)
	return counts
}
