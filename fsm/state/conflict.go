package state

import (
	"fmt"
	"slices"
)

// noteConflicts adds to the history which conflicts of a repository have come, and which have
// ended.
func (t *transition) noteConflicts(vs *VirtualStorage, k Key, was, is *Entry) {
	for i := range is.Conflicts {
		if found := &is.Conflicts[i]; !was.InConflict(found.Storage) {
			t.noteConflict(k, Change{What: ChangeConflict, Storage: found.Storage, Why: found.describe()})
		}
	}
	if was == nil {
		return
	}
	for i := range was.Conflicts {
		if name := was.Conflicts[i].Storage; !is.InConflict(name) && vs.Storage(name) != nil {
			t.noteConflict(k, Change{What: ChangeConflictEnded, Storage: name, Why: "the primary contains the replica"})
		}
	}
}

// ConflictsKept bounds the lines about conflicts in a history: thousands may be found at once,
// and must not push out the lines about the storages.
const ConflictsKept = 50

// noteConflict adds a line about a conflict to the history, in place of the oldest one if
// there are enough of them.
func (t *transition) noteConflict(k Key, c Change) {
	vs := t.edit(k.VirtualStorage)
	about := func(c Change) bool { return c.What == ChangeConflict || c.What == ChangeConflictEnded }
	n, oldest := 0, -1
	for i := range vs.History {
		if about(vs.History[i]) {
			if n++; oldest < 0 {
				oldest = i
			}
		}
	}
	if n >= ConflictsKept {
		vs.History = slices.Delete(vs.History, oldest, oldest+1)
	}
	c.RelativePath = k.RelativePath
	t.note(vs, c)
}

// describe says in a line how the two sides differ.
func (c *Conflict) describe() string {
	switch {
	case c.Primary == "":
		return "no storage serves that it could be compared with"
	case c.Here.Absent:
		return fmt.Sprintf("%s does not have the repository", c.Primary)
	}
	return fmt.Sprintf("references that differ from %s: %d", c.Primary, c.Differing)
}
