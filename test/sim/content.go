package sim

import "slices"

// op is one effect on a repository, numbered through the whole schedule.
type op int32

// refs is how many refs a repository has.
const refs = 2

// ref is the one that an effect changes.
func (o op) ref() int { return int(o) % refs }

// content is a storage's replica of one repository: the effects that happened to
// it since it was created, in order. It is immutable. nil: no such repository.
type content struct {
	ops []op
	// sums has the sum of each ref: the order of changes of two refs leaves no trace.
	sums [refs]uint64
	// torn tells that a copy onto it was not finished.
	torn bool
	attributes
}

// attributes are the facts of a replica besides its refs: no client changes them.
type attributes struct {
	head int // which ref HEAD names
	pool int // which object pool it borrows from, 0 for none
}

func newContent(ops []op, torn bool) *content {
	c := &content{ops: ops, torn: torn}
	for _, o := range ops {
		c.sums[o.ref()] = mix(c.sums[o.ref()], o)
	}
	return c
}

// mix is the sum of a ref after one more change.
func mix(sum uint64, o op) uint64 { return (sum ^ uint64(o) ^ 14695981039346656037) * 1099511628211 }

// at is the sum of a ref, that of none for no such repository.
func (c *content) at(ref int) uint64 {
	if c == nil {
		return 0
	}
	return c.sums[ref]
}

// with is the content after more effects.
func (c *content) with(ops ...op) *content {
	if c == nil {
		return newContent(ops, false)
	}
	after := &content{ops: append(slices.Clip(c.ops), ops...), sums: c.sums, torn: c.torn, attributes: c.attributes}
	for _, o := range ops {
		after.sums[o.ref()] = mix(after.sums[o.ref()], o)
	}
	return after
}

func (c *content) has(o op) bool { return c != nil && !c.torn && slices.Contains(c.ops, o) }

// equal compares as a checksum of all refs does, and more.
func (c *content) equal(o *content) bool {
	if c == nil || o == nil {
		return c == o
	}
	return c.sums == o.sums && c.torn == o.torn && c.attributes == o.attributes
}

// disk is the part of a storage that survives the death of its process.
type disk struct {
	id    string
	repos map[string]*content
	// ruined are the repositories of which nothing that is written succeeds.
	ruined map[string]bool
}
