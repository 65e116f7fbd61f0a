package state

import (
	"fmt"
	"testing"
)

// conflictLines are the lines of the history about conflicts.
func conflictLines(w *fixture) (lines []string) {
	for _, c := range w.VirtualStorage(vs).History {
		if c.What == ChangeConflict || c.What == ChangeConflictEnded {
			lines = append(lines, fmt.Sprintf("%s of %s on %s: %s", c.What, c.RelativePath, c.Storage, c.Why))
		}
	}
	return lines
}

// TestMarkConflict_isInTheHistory: that one came, once, and that it ended.
func TestMarkConflict_isInTheHistory(t *testing.T) {
	w := newFixture(t)
	behind(w, "q", "r")
	mark := conflict(w.Index, "q")
	mark.MarkConflict.Conflicts[0].Primary, mark.MarkConflict.Conflicts[0].Differing = "p", 3
	w.must(alpha, mark)
	w.must(alpha, conflict(w.Index, "q", "r"))
	w.must(alpha, conflict(w.Index, "r"))
	want := []string{
		"in conflict of a.git on q: references that differ from p: 3",
		"in conflict of a.git on r: references that differ from p: 1",
		"conflict ended of a.git on q: the primary contains the replica",
	}
	if got := conflictLines(w); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestMarkConflict_leavesTheHistoryOfOthers: thousands of conflicts push out none of the other lines.
func TestMarkConflict_leavesTheHistoryOfOthers(t *testing.T) {
	w := newFixture(t)
	before := len(w.VirtualStorage(vs).History)
	behind(w, "q")
	for range 3 * ConflictsKept {
		w.must(alpha, conflict(w.Index, "q"))
		w.must(alpha, conflict(w.Index))
	}
	if got := len(conflictLines(w)); got != ConflictsKept {
		t.Errorf("%d lines about conflicts, want %d", got, ConflictsKept)
	}
	if got := len(w.VirtualStorage(vs).History); got != before+ConflictsKept {
		t.Errorf("%d lines in all, want %d", got, before+ConflictsKept)
	}
}
