package main

import (
	"strings"
	"testing"

	"praefect/fsm/state"
)

func TestRefill(t *testing.T) {
	i := newInstance(t)
	address := i.socket(t)
	run := func(args ...string) outcome {
		return praefectctl(t, nil, append([]string{"-endpoints", address}, args...)...)
	}
	run("refill", "gitaly-1", "-confirm", "gitaly-1").fails(t, exitRefused, "drain it before its content is replaced") // a storage that serves
	if got := run("drain", "gitaly-1", "-y"); got.code != 0 {
		t.Fatalf("got %+v", got)
	}
	const plan = `gitaly-1 (out) of default is backfilled from gitaly-2; known to be behind: 0
  each repository is compared first; where each side has what the other lacks, nothing is copied, and dataloss lists it
`
	before := i.View()
	if got := run("refill", "gitaly-1", "-dry-run"); got != (outcome{0, plan, ""}) || i.View() != before {
		t.Errorf("a dry run: got %+v", got)
	}
	if got := run("refill", "gitaly-1", "-confirm", "gitaly-2"); got.code != exitRefused || i.View() != before {
		t.Errorf("another name: got %+v", got)
	}
	run("refill", "gitaly-1", "-confirm", "gitaly-1", "-why", "restored").ends(t, 0, "gitaly-1 of default is backfilled; answered by praefect-1")
	if st := i.View().VirtualStorage("default").Storage("gitaly-1"); st.State != state.Backfilling {
		t.Errorf("gitaly-1 is %s", st.State)
	}
	if got := run("history", "-limit", "1"); !strings.Contains(got.stdout, "refill gitaly-1") || !strings.Contains(got.stdout, "restored") {
		t.Errorf("the history: %+v", got)
	}
}
