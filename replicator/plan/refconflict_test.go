package plan

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestRefConflicts_isWhatCannotBeBesideTheSource(t *testing.T) {
	for _, row := range []struct{ source, target, want string }{
		{"", "refs/heads/a", ""},
		{"refs/heads/a", "", ""},
		{"refs/heads/a", "refs/heads/a refs/heads/b refs/heads/ab refs/heads/a-b/c", ""},
		{"refs/heads/a/b", "refs/heads/a refs/heads/c", "refs/heads/a"},
		{"refs/heads/a", "refs/heads/a/b refs/heads/a/c/d refs/heads/b", "refs/heads/a/b refs/heads/a/c/d"},
		{"refs/heads/a/b/c refs/tags/a", "refs/heads/a refs/heads/a/d refs/tags/a", "refs/heads/a"},
	} {
		if got := RefConflicts(strings.Fields(row.source), strings.Fields(row.target)); !slices.Equal(got, strings.Fields(row.want)) {
			t.Errorf("source %q, target %q: got %q, want %q", row.source, row.target, got, row.want)
		}
	}
}

// TestRefConflicts_equalsTheReference compares each name with each.
func TestRefConflicts_equalsTheReference(t *testing.T) {
	names := rapid.SliceOfNDistinct(rapid.StringMatching(`[ab](/[ab]){0,3}`), 0, 8, rapid.ID[string])
	rapid.Check(t, func(t *rapid.T) {
		source, target := names.Draw(t, "source"), names.Draw(t, "target")
		var want []string
		for _, name := range target {
			clashes := func(other string) bool {
				return strings.HasPrefix(other, name+"/") || strings.HasPrefix(name, other+"/")
			}
			if !slices.Contains(source, name) && slices.ContainsFunc(source, clashes) {
				want = append(want, name)
			}
		}
		if got := RefConflicts(source, target); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}
