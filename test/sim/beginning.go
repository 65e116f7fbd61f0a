package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"praefect/replicator/plan"
)

// begun gives the storages their content before the cluster begins: the same, or one more
// change than another, or each a change that no other has. It draws from numbers
// of its own, so that a schedule without it stays as it is.
func (w *simulation) begun() {
	r := rand.New(rand.NewPCG(w.seed, 0xf125c0))
	w.setup.sloppy = pickOf(r, 0, 0, 0, 0.1)
	w.setup.formerDisks = r.IntN(2) == 0
	if r.IntN(3) > 0 {
		return
	}
	w.setup.begun = true
	if w.setup.formerDisks {
		for _, s := range w.storages {
			s.disks = append(s.disks, &disk{id: s.name + "-former-disk", repos: make(map[string]*content)})
		}
	}
	for _, path := range w.paths {
		var common []op
		for range r.IntN(4) {
			common = append(common, w.check.found(path))
		}
		own := make([]op, len(w.storages))
		for i := range own {
			own[i] = w.check.found(path)
		}
		shared := w.check.found(path)
		for i, s := range w.storages {
			ops := slices.Clone(common)
			switch r.IntN(6) {
			case 0: // behind
				ops = ops[:r.IntN(len(ops)+1)]
			case 1: // ahead
				ops = append(ops, shared)
			case 2: // further
				ops = append(ops, shared, own[i])
			case 3: // apart, with some seeds
				if w.seed%4 == 1 {
					ops = append(ops, own[i])
				}
			}
			if len(ops) > 0 {
				s.disk.repos[path] = newContent(ops, false)
			}
			if former := common[:r.IntN(len(common)+1)]; len(former) > 0 && w.setup.formerDisks {
				s.disks[1].repos[path] = newContent(slices.Clone(former), false)
			}
		}
	}
}

func pickOf[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// found numbers an effect that is on some disk before the cluster begins.
func (c *check) found(path string) op {
	wr := &write{op: op(len(c.ops)), path: path, found: true}
	c.ops = append(c.ops, wr)
	return wr.op
}

// overwrites checks that a copy, or a removal, that no client asked for takes nothing
// away that a storage came with, unless a client deleted it, or an operator said so.
func (c *check) overwrites(s *storage, r *running, before, after *content) {
	if before == nil || r.remakes || r.verb != verbReplicate && r.verb != verbRemove {
		return
	}
	source := after
	if r.verb == verbReplicate {
		source = r.fetched // a change that a copy leaves out is not lost: the copy is made once more
	}
	for _, o := range before.ops {
		if wr := c.ops[o]; wr.found && !wr.removed && !wr.lost && (source == nil || !slices.Contains(source.ops, o)) {
			c.w.failf("the %s of %s onto %s destroys op %d, which it came with", r.verb, r.path, s.name, o)
		}
	}
}

// contains tells whether every value of the other's references is in c: the sequence
// of changes of each is the beginning of c's.
func (c *content) contains(other *content) bool {
	if other == nil {
		return true
	}
	if c == nil {
		return false
	}
	for ref := range refs {
		mine, theirs := c.of(ref), other.of(ref)
		if len(theirs) > len(mine) || !slices.Equal(mine[:len(theirs)], theirs) {
			return false
		}
	}
	return true
}

// halfWay is the content that a copy of found has made of c when it is cut off. Where it advances,
// each reference only moves forward, and git has moved some of them: their objects come
// first. Otherwise nothing can be said.
func (c *content) halfWay(found *content, advances bool) *content {
	switch {
	case !advances:
		return newContent(slices.Clone(found.ops), true).set(found.attributes)
	case c == nil:
		return newContent(found.of(0), false)
	}
	return newContent(append(found.of(0), c.of(1)...), false).set(c.attributes)
}

// set is the content with other attributes.
func (c *content) set(a attributes) *content {
	after := *c
	after.attributes = a
	return &after
}

// without is the content that a sloppy copy of c leaves on a replica: the last change of a ref is
// missing, or HEAD or the object pool are as they were.
func (c *content) without(before *content) *content {
	if before != nil && before.attributes != c.attributes {
		return c.set(before.attributes)
	}
	return newContent(c.ops[:len(c.ops)-1], false).set(c.attributes)
}

// heads tells in which schedules HEAD and the object pool differ in the first content of storages.
// It draws from nothing: all other schedules stay as they are.
func heads(seed uint64) bool { return seed%16 == 5 || seed%16 == 12 }

// begunAttributes gives some of the replicas another HEAD or object pool.
func (w *simulation) begunAttributes() {
	if !heads(w.seed) {
		return
	}
	r := rand.New(rand.NewPCG(w.seed, 0x4ead))
	for _, s := range w.storages {
		for _, path := range w.paths {
			if c := s.disk.repos[path]; c != nil {
				s.disk.repos[path] = c.set(attributes{head: r.IntN(2), pool: r.IntN(3) / 2})
			}
		}
	}
}

// of are the changes of one reference.
func (c *content) of(ref int) []op {
	return slices.DeleteFunc(slices.Clone(c.ops), func(o op) bool { return o.ref() != ref })
}

// replica is the part of it that a comparison after a copy sees.
func (c *content) replica() plan.Replica {
	if c == nil {
		return plan.Replica{}
	}
	r := plan.Replica{Has: true, References: fmt.Sprint(c.sums, c.torn), Head: fmt.Sprint("refs/", c.head)}
	if c.pool > 0 {
		r.Pool = fmt.Sprint("pool-", c.pool)
	}
	return r
}
