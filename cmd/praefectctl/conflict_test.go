package main

import (
	"strings"
	"testing"

	"praefect/fsm/state"
)

// TestConflict_bothSidesBeforeTheQuestion: accept-dataloss shows what either side has before it asks, and dataloss what
// could not be compared.
func TestConflict_bothSidesBeforeTheQuestion(t *testing.T) {
	i := newInstance(t)
	i.Conflict("a.git", "gitaly-1", state.Conflict{
		Storage: "gitaly-2", Primary: "gitaly-1", Time: 1000, Differing: 3, Sample: []state.DifferingReference{{Name: "refs/heads/main", Here: "aaa", There: "bbb"}},
		Here: state.ConflictSide{Commit: "aaa", Time: 60}, There: state.ConflictSide{Commit: "bbb", Time: 120},
	})
	i.Conflict("b.git", "gitaly-1", state.Conflict{Storage: "gitaly-2"})
	address := i.serve(t)
	before := i.View()
	got := operator{types: "gitaly-9\n"}.run(t, "-endpoints", address, "accept-dataloss", "-virtual-storage", "default", "-repository", "a.git", "-authoritative-storage", "gitaly-2")
	sides, asked, _ := strings.Cut(got.stderr, "Type the storage's name")
	if got.code != exitRefused || asked == "" || i.View() != before {
		t.Errorf("got %+v", got)
	}
	for _, want := range []string{
		"gitaly-2 has what gitaly-1 lacks; compared at 1970-01-01T00:00:01Z", "gitaly-1  aaa            1970-01-01T00:01:00Z",
		"gitaly-2  bbb            1970-01-01T00:02:00Z", "refs/heads/main  aaa          bbb", "and 2 more references differ",
	} {
		if !strings.Contains(sides, want) {
			t.Errorf("before the question there is no %q:\n%s", want, sides)
		}
	}
	if strings.Contains(sides, "without loss") {
		t.Errorf("a repair does not end a conflict, and the plan says so:\n%s", sides)
	}
	if got := praefectctl(t, nil, "-endpoints", address, "dataloss"); !strings.Contains(got.stdout, "b.git in default is in conflict: gitaly-2 has a replica that could not be compared") {
		t.Errorf("got %s", got.stdout)
	}
	if got := praefectctl(t, nil, "-endpoints", address, "history", "-limit", "1"); !strings.Contains(got.stdout, "b.git") || !strings.Contains(got.stdout, "in conflict") {
		t.Errorf("got %s", got.stdout)
	}
}
