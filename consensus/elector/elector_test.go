package elector

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"praefect/fsm/state"
)

// node applies every proposal to a real state at once.
type node struct {
	state     *state.State
	inc       state.Incarnation
	proposals int
}

func newNode() *node {
	n := &node{state: &state.State{}}
	results, _ := n.Propose(context.Background(), state.Command{Register: &state.Register{ID: "a", Name: "praefect-1", ClusterID: "c"}})
	n.inc = results[0].Incarnation
	n.proposals = 0
	return n
}

func (n *node) View() *state.State { return n.state }

func (n *node) Propose(_ context.Context, cmds ...state.Command) ([]state.Result, error) {
	n.proposals++
	index := n.state.Index + 1
	next, results := n.state.Apply(index, state.Batch{Version: state.CommandVersion, RequestID: fmt.Sprint(index), Incarnation: n.inc, Commands: cmds})
	n.state = next
	return results, next.Check()
}

var configured = []Configured{{VirtualStorage: "default", Storages: []string{"gitaly-1", "gitaly-2"}}}

func seen(ids ...string) []Seen {
	var all []Seen
	for i, id := range ids {
		if id != "" {
			all = append(all, Seen{VirtualStorage: "default", Storage: fmt.Sprint("gitaly-", i+1), FilesystemID: id})
		}
	}
	return all
}

func TestElector_reachesRest(t *testing.T) {
	for _, tc := range []struct {
		name  string
		seen  [][]Seen // one after the other, each until nothing changes
		want  string   // standing/disk of the storages by name
		alarm string
	}{
		{name: "nothing reached", seen: [][]Seen{nil}, want: "gitaly-1 serving  gitaly-2 filling "},
		{name: "first ids are recorded", seen: [][]Seen{seen("A", "B")}, want: "gitaly-1 serving A gitaly-2 filling B"},
		{name: "another disk at a filling one starts over", seen: [][]Seen{seen("A", "B"), seen("A", "C")}, want: "gitaly-1 serving A gitaly-2 filling C"},
		{name: "another disk at the primary is for a person", seen: [][]Seen{seen("A", "B"), seen("C", "B")}, want: "gitaly-1 serving A gitaly-2 filling B", alarm: "has another disk"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := newNode()
			var log strings.Builder
			var now []Seen
			e := New(n, func() []Seen { return now }, slog.New(slog.NewTextHandler(&log, nil)), configured, Config{})
			for _, now = range tc.seen {
				for range 10 {
					e.runOnce(t.Context())
				}
			}
			rest := n.proposals
			e.runOnce(t.Context())
			if n.proposals != rest {
				t.Error("it never comes to rest")
			}
			var got []string
			for _, s := range n.state.VirtualStorage("default").Succession {
				got = append(got, fmt.Sprintf("%s %s %s", s.Name, s.Standing, s.FilesystemID))
			}
			slices.Sort(got)
			if strings.Join(got, " ") != tc.want {
				t.Errorf("got %q, want %q", strings.Join(got, " "), tc.want)
			}
			if lines := strings.Count(log.String(), "\n"); tc.alarm == "" && lines > 0 || tc.alarm != "" && (lines != 1 || !strings.Contains(log.String(), tc.alarm)) {
				t.Errorf("log:\n%s", log.String())
			}
		})
	}
}

func TestElector_refusedProposalIsNotRepeatedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode()
		var log strings.Builder
		e := New(n, func() []Seen { return seen("A", "B") }, slog.New(slog.NewTextHandler(&log, nil)), configured, Config{})
		e.runOnce(t.Context())
		e.runOnce(t.Context())
		// The primary is no longer configured: that has to be refused.
		e.configured = []Configured{{VirtualStorage: "default", Storages: []string{"gitaly-2"}}}
		before := n.proposals
		ctx, cancel := context.WithTimeout(t.Context(), 59*time.Second)
		defer cancel()
		if err := e.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if got := n.proposals - before; got != 2 {
			t.Errorf("proposed %d times in a minute", got)
		}
		if lines := strings.Count(log.String(), "\n"); lines != 1 {
			t.Errorf("log:\n%s", log.String())
		}
	})
}
