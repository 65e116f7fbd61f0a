package check_test

import (
	"context"
	"errors"
	"testing"

	"praefect/proxy/check"
)

// TestLeader_isFatalAndTheOthersAreNot: without a leader writes stop; with one voter less they do not.
func TestLeader_isFatalAndTheOthersAreNot(t *testing.T) {
	says := func(problems []string, err error) func(context.Context) ([]string, error) {
		return func(context.Context) ([]string, error) { return problems, err }
	}
	for _, tc := range []struct {
		name  string
		check check.Check
		ready bool
		want  string
	}{
		{"a leader", check.Leader(says(nil, nil)), true, ""},
		{"no leader", check.Leader(says([]string{"no-leader: praefect-1 reaches no leader"}, nil)), false, "no-leader: praefect-1 reaches no leader"},
		{"nobody to ask", check.Leader(says(nil, errors.New("connection refused"))), false, "connection refused"},
		{"few voters", check.Quorum(says([]string{"fewer-voters: 2 of 3", "cannot-lose-any: 0"}, nil)), true, "fewer-voters: 2 of 3; cannot-lose-any: 0"},
		{"something else", check.Conditions(says([]string{"settings-differ: x"}, nil)), true, "settings-differ: x"},
	} {
		results := check.Run(t.Context(), []check.Check{tc.check}, 0)
		got := ""
		if results[0].Err != nil {
			got = results[0].Err.Error()
		}
		if got != tc.want || check.Ready(results) != tc.ready {
			t.Errorf("%s: got %q, ready %v", tc.name, got, check.Ready(results))
		}
	}
}
