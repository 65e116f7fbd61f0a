package main

import (
	"strings"
	"testing"

	"praefect/fsm/reachability"
	"praefect/fsm/state"
	"praefect/proxy/admin"
)

func TestExplain_json(t *testing.T) {
	i := newInstance(t)
	i.WrittenOnlyTo("a.git", "gitaly-1")
	answer := document[admin.ExplainResponse](t, i.ctl("-o", "json", "explain", "a.git"), 0)
	if answer.Schema != 1 || answer.Entry == nil || len(answer.Entry.Behind) != 1 || answer.Routes.Writes.Primary != "gitaly-1" {
		t.Errorf("got %+v", answer)
	}
}

func TestExplain_sayings(t *testing.T) {
	for _, row := range []struct {
		name  string
		given func(*instance)
		want  []string
	}{
		{"clean", func(*instance) {}, []string{"* a.git in default: clean", "yes, says gitaly-1", "not listed"}},
		{"absent", func(i *instance) { i.Absent("a.git") }, []string{"there is no such repository", "no, says gitaly-1"}},
		{"behind", func(i *instance) { i.WrittenOnlyTo("a.git", "gitaly-1") }, []string{"! a.git in default: gitaly-2 behind", "behind: gitaly-2"}},
		{"unavailable", func(i *instance) { i.WrittenOnlyTo("a.git", "gitaly-1"); i.Lose("gitaly-1") }, []string{
			"x a.git in default: unavailable", "not known: ", "are refused: ", "have no destination: ",
		}},
		{"conflict", func(i *instance) {
			i.Conflict("a.git", "gitaly-1", state.Conflict{
				Storage: "gitaly-2", Primary: "gitaly-1", Differing: 1, Sample: []state.DifferingReference{{Name: "refs/heads/main", Here: "aaa", There: "bbb"}},
				Here: state.ConflictSide{Commit: "aaa"}, There: state.ConflictSide{Absent: true},
			})
		}, []string{"! a.git in default: in conflict", "behind, in conflict", "gitaly-2 has what gitaly-1 lacks", "refs/heads/main  aaa", "the repository is absent", "in conflict  "}},
		{"no votes", func(i *instance) {
			i.Observe("gitaly-2", reachability.Observation{Reachable: true, FilesystemID: "disk-gitaly-2"})
		}, []string{"gitaly-2 cannot vote"}},
		{"waits", func(i *instance) { i.SetWaiting("a.git", &admin.Waiting{Reason: "limit"}) }, []string{"waits for a free place among the repairs (limit)"}},
	} {
		code := 0
		if row.name == "unavailable" {
			code = exitUnavailable
		}
		i := newInstance(t)
		row.given(i)
		got := i.ctl("explain", "-virtual-storage", "default", "a.git")
		for _, want := range row.want {
			if got.code != code || !strings.Contains(got.stdout, want) {
				t.Errorf("%s: want %d and %q, got %d %s\n%s", row.name, code, want, got.code, got.stderr, got.stdout)
			}
		}
	}
	praefectctl(t, nil, "-endpoints", newInstance(t).serve(t), "explain").fails(t, exitUsage, "REPOSITORY is missing") // without a repository
}
