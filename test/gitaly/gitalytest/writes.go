package gitalytest

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"

	"praefect/test/must"
)

// ExerciseWrites makes every write of the suites of votes once, of a proxy: there is
// no transaction but the one that it begins, and Seed is called for all storages behind
// it. before is called when all that a write needs is there, and after is told the
// method of each that has succeeded, and where it wrote.
func ExerciseWrites(t *testing.T, subject Subject, before func(t *testing.T), after func(t *testing.T, method, path string)) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	subject.Other = subject.Storage
	s := newSuite(ctx, subject)
	s.objects = s.seeded(t, s.repository(source), map[string]int{"refs/heads/main": 1, "refs/heads/more": 2})
	all := slices.Concat(s.mutators(), s.gitMutators())
	if !subject.StandIn {
		all = append(all, s.servedByReal(t)...)
	}
	for _, m := range all {
		method, _, _ := strings.Cut(m.name, " ")
		if method == "ReplicateRepository" { // from another storage, and there is one
			continue
		}
		t.Run(m.name, func(t *testing.T) {
			defer s.clear(t)
			s.readyFor(t, m, s.Storage, (*suite).addPool)
			before(t)
			must.Succeed(t, m.do(t, ctx, s.Conn, s.repository(m.place), s.objects))
			after(t, method, m.place)
		})
	}
}

// readyFor makes the preconditions of a mutator on a storage; more adds to the repository that
// it writes to.
func (s *suite) readyFor(t *testing.T, m mutator, storage string, more func(*suite, *testing.T, *gitalypb.Repository)) {
	t.Helper()
	repo := named(storage, present)
	s.unnamed = ""
	s.seeded(t, repo, map[string]int{"refs/heads/main": 1, "refs/heads/topic": 1, "refs/heads/gone": 0})
	more(s, t, repo)
	if m.before != nil {
		m.before(t, repo)
	}
}
