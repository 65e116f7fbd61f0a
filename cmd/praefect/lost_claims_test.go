package main

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"praefect/consensus/store"
	"praefect/fsm/state"
	"praefect/replicator/postgres"
)

// claimsInMemory is a table of claims that may be away.
type claimsInMemory struct {
	held []postgres.Claim
	away error
}

func (c *claimsInMemory) Take(context.Context, []string, postgres.Claimant) ([]postgres.Claim, error) {
	return c.held, c.away
}

func (c *claimsInMemory) List(context.Context) ([]postgres.Claim, error) { return c.held, c.away }

func (c *claimsInMemory) Confirm(context.Context, string) error { return c.away }

func (c *claimsInMemory) Remove(context.Context, string, string) (bool, error) { return true, c.away }

func (c *claimsInMemory) Replace(context.Context, []string, string, postgres.Claimant) ([]postgres.Claim, error) {
	return c.held, c.away
}

// TestClaims_lostClaimOutlivesARestart: an instance that knows of another cluster's claim takes no lease
// after a restart without Postgres either, until Postgres or a command says that it is settled.
func TestClaims_lostClaimOutlivesARestart(t *testing.T) {
	dir := t.TempDir()
	view := &state.State{ClusterID: "X", VirtualStorages: []state.VirtualStorage{{Name: "default"}}}
	claim := func(vs, cluster string) postgres.Claim {
		return postgres.Claim{VirtualStorage: vs, Claimant: postgres.Claimant{ClusterID: cluster, Instance: "i", Host: "h"}, Since: time.Unix(1e9, 0)}
	}
	gone := errors.New("no route to Postgres")
	for _, step := range []struct {
		name   string // each step is a restart
		leads  bool
		table  claimsInMemory
		before bool // it is barred before it has compared
		after  bool
	}{
		{name: "nothing is lost", table: claimsInMemory{held: []postgres.Claim{claim("default", "X")}}},
		{name: "another cluster has it", table: claimsInMemory{held: []postgres.Claim{claim("default", "Y")}}, after: true},
		{name: "without Postgres", table: claimsInMemory{away: gone}, before: true, after: true},
		{name: "and once more", table: claimsInMemory{away: gone}, before: true, after: true},
		{name: "as the leader", leads: true, table: claimsInMemory{away: gone}, before: true, after: true},
		{name: "Postgres is back", table: claimsInMemory{held: []postgres.Claim{claim("default", "Y")}}, before: true, after: true},
		{name: "the claim was removed", table: claimsInMemory{held: []postgres.Claim{claim("default", "X")}}, before: true},
		{name: "nothing is remembered any more", table: claimsInMemory{away: gone}},
		{name: "a virtual storage that is not served here", table: claimsInMemory{held: []postgres.Claim{claim("default", "X"), claim("new", "Y")}}},
		{name: "it bars nothing later", table: claimsInMemory{away: gone}},
	} {
		t.Run(step.name, func(t *testing.T) {
			c := &claims{
				table: &step.table, dir: dir, log: slog.New(slog.DiscardHandler), configured: []string{"default", "new"},
				view: func() *state.State { return view }, leads: func() bool { return step.leads },
				own: make(map[string]bool), others: make(map[string]postgres.Claim),
			}
			must(t, c.recall())
			if got := c.barred(); (got != "") != step.before || step.before && !strings.Contains(got, "cluster Y: instance \"i\"") {
				t.Errorf("before it has compared it is barred by %q", got)
			}
			c.compare(t.Context())
			if got := c.barred(); (got != "") != step.after {
				t.Errorf("afterwards it is barred by %q", got)
			}
		})
	}
}

// TestClaims_lostClaimIsSettled: the command that removes the claim has the instance of this host forget it,
// and one that joins the other cluster is not kept from serving by what it has become a part of.
func TestClaims_lostClaimIsSettled(t *testing.T) {
	dir := t.TempDir()
	lost := []store.LostClaim{{VirtualStorage: "default", ClusterID: "Y"}, {VirtualStorage: "other", ClusterID: "Y"}}
	must(t, store.WriteLostClaims(dir, lost))
	view := &state.State{ClusterID: "X", VirtualStorages: []state.VirtualStorage{{Name: "default"}, {Name: "other"}}}
	barred := func() string {
		c := &claims{dir: dir, view: func() *state.State { return view }, own: make(map[string]bool), others: make(map[string]postgres.Claim)}
		must(t, c.recall())
		return c.barred()
	}
	must(t, forgetLostClaim(dir, "default"))
	if got := barred(); strings.Contains(got, `"default"`) || !strings.Contains(got, `"other"`) {
		t.Errorf("barred by %q", got)
	}
	view.ClusterID = "Y"
	same(t, "an instance of that cluster is barred by", barred(), "")
	view.ClusterID = "X"
	must(t, errors.Join(forgetLostClaim(dir, "other"), forgetLostClaim(dir, "other")))
	same(t, "barred by", barred(), "")
}
