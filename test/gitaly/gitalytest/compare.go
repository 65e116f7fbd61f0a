package gitalytest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// preparing is a phase that newer releases have, and the API that is compiled in has not.
const preparing gitalypb.VoteTransactionRequest_Phase = 4

// CompareVotes makes every write of the suites of votes on two storages of different
// releases, and prints of each the phases of its votes and which hashes are equal. It fails
// only where a write fails on one of them.
func CompareVotes(t *testing.T, subjects ...Subject) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	var suites []*suite
	for _, subject := range subjects {
		s := newSuite(ctx, subject)
		for _, storage := range []string{s.Storage, s.Other} {
			s.objects = s.seeded(t, named(storage, source), map[string]int{"refs/heads/main": 1, "refs/heads/more": 2})
		}
		suites = append(suites, s)
	}
	of := func(s *suite) []mutator {
		return slices.Concat(s.mutators(), s.gitMutators(), s.userMutators(), s.copyMutators(), s.editMutators(), s.realMutators())
	}
	for i, m := range of(suites[0]) {
		t.Run(m.name, func(t *testing.T) {
			var lines [][]string
			for _, s := range suites {
				lines = append(lines, s.votesOf(t, of(s)[i]))
			}
			t.Logf("equal %t\n%s\n---\n%s", slices.Equal(lines[0], lines[1]), strings.Join(lines[0], "\n"), strings.Join(lines[1], "\n"))
		})
	}
}

// RecordVotes makes every write of the suites of votes on one storage, in a transaction that
// commits, and returns the phases of its votes by the name of the method. A method that the
// storage does not serve is left out.
func RecordVotes(t *testing.T, subject Subject) map[string][]string {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	s := newSuite(ctx, subject)
	for _, storage := range []string{s.Storage, s.Other} {
		s.objects = s.seeded(t, named(storage, source), map[string]int{"refs/heads/main": 1, "refs/heads/more": 2})
	}
	seen := make(map[string][]string)
	for _, m := range slices.Concat(s.mutators(), s.gitMutators(), s.userMutators(), s.copyMutators(), s.editMutators(), s.realMutators()) {
		t.Run(m.name, func(t *testing.T) {
			votes := s.votesOf(t, m)
			method, _, _ := strings.Cut(m.name, " ")
			if _, known := seen[method]; known || len(votes) == 1 && votes[0] == notServed {
				return
			}
			phases := []string{}
			for _, v := range votes {
				phase, _, _ := strings.Cut(v, " ")
				phases = append(phases, phase)
			}
			seen[method] = phases
		})
	}
	return seen
}

// notServed stands for the votes of a method that a storage does not have.
const notServed = "not served"

// votesOf makes a write in a transaction and lists its votes.
func (s *suite) votesOf(t *testing.T, m mutator) (lines []string) {
	t.Helper()
	defer s.clear(t)
	s.readyFor(t, m, s.Storage, (*suite).addPool)
	coordinator := &Coordinator{}
	conn := DialVoting(t, s.Address, s.Token, coordinator)
	err := m.do(t, InTransaction(t, s.ctx, transactionID, s.Storage, true), conn, s.repository(m.place), s.objects)
	if status.Code(err) == codes.Unimplemented {
		return []string{notServed}
	}
	if err != nil {
		t.Errorf("%s: %v", m.name, err)
	}
	for _, v := range coordinator.Votes(transactionID, s.Storage) {
		phase := strings.ToLower(strings.TrimSuffix(v.Phase.String(), "_PHASE"))
		if v.Phase == preparing {
			phase = "preparing"
		}
		lines = append(lines, fmt.Sprintf("%s %x", phase, v.Hash[:6]))
	}
	return lines
}
