package sim

import "slices"

// op is one effect on a repository, numbered through the whole schedule.
type op int32

// content is what a storage has of one repository: the effects that happened to
// it since it was created, in order. It is immutable. nil: no such repository.
type content struct {
	ops []op
	sum uint64 // of ops and of torn
	// torn tells that a copy onto it was not finished.
	torn bool
}

func newContent(ops []op, torn bool) *content {
	sum := uint64(14695981039346656037)
	for _, o := range ops {
		sum = (sum ^ uint64(o)) * 1099511628211
	}
	if torn {
		sum = ^sum
	}
	return &content{ops: ops, sum: sum, torn: torn}
}

// with is the content after one more effect.
func (c *content) with(o op) *content {
	if c == nil {
		return newContent([]op{o}, false)
	}
	return newContent(append(slices.Clip(c.ops), o), c.torn)
}

func (c *content) has(o op) bool { return c != nil && !c.torn && slices.Contains(c.ops, o) }

// equal compares as a checksum of all refs does, and more.
func (c *content) equal(o *content) bool {
	if c == nil || o == nil {
		return c == o
	}
	return c.sum == o.sum
}

// disk is what a storage keeps when its process dies.
type disk struct {
	id    string
	repos map[string]*content
}
