package workload

import (
	"context"
	"slices"
	"sync"
)

// History is the record of clients about their writes. A write without an error is
// acknowledged; one with an error may or may not have had its effect. Each
// branch and reference has one writer, which does one thing after the other, and
// each commit has a subject of its own. Its methods may be called by several
// goroutines.
type History struct {
	mu           sync.Mutex
	repositories map[Place]*record // guarded by mu
	acknowledged int               // guarded by mu
	refused      int               // not acknowledged, in effect or not; guarded by mu
	surprises    int               // of these, commits that were found all the same; guarded by mu
}

// Place is a repository as a client names it.
type Place struct{ VirtualStorage, Path string }

// At is the place of a repository.
func At(virtualStorage, path string) Place { return Place{VirtualStorage: virtualStorage, Path: path} }

// record is the record of one repository.
type record struct {
	// there are the possible answers to whether it exists: one, unless a create
	// or a remove ended without an answer.
	there []bool
	// branches has the commits of each branch, by subject, and whether they were
	// acknowledged, in the order in which they were made.
	branches map[string][]attempt
	// refs has the possible commits of each reference; "" is none.
	refs map[string][]string
}

type attempt struct {
	subject      string
	acknowledged bool
	// inherited tells that the branch began with it, if it was made at all.
	inherited bool
}

// NewHistory is one of clients that have done nothing yet.
func NewHistory() *History { return &History{repositories: make(map[Place]*record)} }

// note counts a write and gives the record of its repository. Caller holds mu.
func (h *History) note(p Place, err error) *record {
	if err == nil {
		h.acknowledged++
	} else {
		h.refused++
	}
	r := h.repositories[p]
	if r == nil {
		r = &record{there: []bool{false}, branches: make(map[string][]attempt), refs: make(map[string][]string)}
		h.repositories[p] = r
	}
	return r
}

// Existence takes the end of a create (there) or a remove.
func (h *History) Existence(p Place, there bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.note(p, err)
	r.there = possible(r.there, there, err)
}

// Make makes a repository with a first commit on main.
func (h *History) Make(ctx context.Context, through Client, path string) error {
	p := At(through.VirtualStorage, path)
	err := through.Create(ctx, path)
	h.Existence(p, true, err)
	if err != nil {
		return err
	}
	const subject = "first"
	_, err = through.Commit(ctx, path, "main", subject)
	h.Commit(p, "main", subject, err)
	return err
}

// Commit takes the end of a commit, or of the push of one.
func (h *History) Commit(p Place, branch, subject string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.note(p, err)
	r.branches[branch] = append(r.branches[branch], attempt{subject: subject, acknowledged: err == nil})
}

// Inherits says that a branch will begin with a commit of another one.
func (h *History) Inherits(p Place, branch, subject string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.repositories[p]
	r.branches[branch] = append(r.branches[branch], attempt{subject: subject, inherited: true})
}

// Pointed takes the end of a change of a reference.
func (h *History) Pointed(p Place, ref, id string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.note(p, err)
	before := r.refs[ref]
	if before == nil {
		before = []string{""}
	}
	r.refs[ref] = possible(before, id, err)
}

// possible are the values that may be true after a write of value that ended with err.
func possible[T comparable](before []T, value T, err error) []T {
	switch {
	case err == nil:
		return []T{value}
	case slices.Contains(before, value):
		return before
	}
	return append(slices.Clone(before), value)
}

// Counts are the writes that were acknowledged, the others, and how many
// of the latter are in effect, as of the last check.
func (h *History) Counts() (acknowledged, refused, surprises int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.acknowledged, h.refused, h.surprises
}
