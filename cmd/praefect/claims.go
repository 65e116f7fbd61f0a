package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"praefect/config"
	"praefect/consensus/store"
	"praefect/fsm/state"
	"praefect/replicator/postgres"
)

const (
	// permissionTimeout bounds one attempt to claim virtual storages for a new cluster: between two the
	// peers are looked at again.
	permissionTimeout = 5 * time.Second
	// firstComparison bounds how long a start waits for Postgres to say whose the virtual storages are.
	firstComparison = time.Second
	// compareAgain is how often claims are compared, compareSoon while something is not known or not
	// as it should be, and confirmEvery how often they are confirmed.
	compareAgain, compareSoon = 10 * time.Second, time.Second
	confirmEvery              = time.Minute
)

// removeClaimCommand is how an operator says that a cluster which has a claim is gone.
const removeClaimCommand = "praefect -config FILE claim remove"

// claimTable is the part of Postgres that a claims needs.
type claimTable interface {
	Take(ctx context.Context, virtualStorages []string, by postgres.Claimant) ([]postgres.Claim, error)
	List(ctx context.Context) ([]postgres.Claim, error)
	Confirm(ctx context.Context, clusterID string) error
	Remove(ctx context.Context, virtualStorage, clusterID string) (bool, error)
	Replace(ctx context.Context, virtualStorages []string, former string, by postgres.Claimant) ([]postgres.Claim, error)
}

// claims keeps the cluster's claims on its virtual storages. A new cluster needs them to begin. One
// that runs needs no Postgres: it compares when Postgres is there, and serves nothing any more once
// another cluster has a virtual storage that it serves.
type claims struct {
	table claimTable
	// prepare checks the database and makes the table.
	prepare func(context.Context) error
	// view is the replicated state, and leads tells whether this instance leads. They are set before
	// run is called.
	view  func() *state.State
	leads func() bool

	// dir is the data directory, which remembers lost claims over a restart without Postgres.
	dir string

	configured []string // virtual storages of the settings
	self       postgres.Claimant
	without    bool // a new cluster may begin without Postgres
	log        *slog.Logger
	compared   chan struct{} // closed after the first comparison, however it ended

	// confirmed is when the claims were confirmed last, and kept the lost claims that the data
	// directory remembers; only run.
	confirmed time.Time
	kept      []store.LostClaim

	mu      sync.Mutex
	own     map[string]bool // claimed for this cluster, guarded by mu
	others  map[string]postgres.Claim
	failure error // of the last comparison, guarded by mu
	told    string
}

func newClaims(cfg *config.Config, db *postgres.DB, log *slog.Logger) (*claims, error) {
	c := &claims{
		table: postgres.NewClaims(db), dir: cfg.Raft.DataDir, self: postgres.Claimant{Instance: cfg.Raft.Name, Host: hostName()},
		without: cfg.Raft.BeginWithoutPostgres, log: log, compared: make(chan struct{}),
		own: make(map[string]bool), others: make(map[string]postgres.Claim),
		prepare: func(ctx context.Context) error {
			if err := db.CheckUpstream(ctx); err != nil {
				return err
			}
			_, err := db.Migrate(ctx)
			return err
		},
	}
	for _, vs := range cfg.VirtualStorages {
		c.configured = append(c.configured, vs.Name)
	}
	return c, c.recall()
}

// recall takes up the lost claims that the data directory remembers: they hold until Postgres says
// otherwise. (▲ claim-lost-forgotten)
func (c *claims) recall() (err error) {
	if c.kept, err = store.ReadLostClaims(c.dir); err != nil {
		return err
	}
	for _, lost := range c.kept {
		c.others[lost.VirtualStorage] = postgres.Claim{
			VirtualStorage: lost.VirtualStorage, Since: lost.Since, Seen: lost.Seen,
			Claimant: postgres.Claimant{ClusterID: lost.ClusterID, Instance: lost.Instance, Host: lost.Host},
		}
	}
	return nil
}

// keep has the data directory remember which claims are lost, as the last comparison found.
func (c *claims) keep(ctx context.Context) {
	served := defined(c.view())
	var lost []store.LostClaim
	c.mu.Lock()
	for _, name := range slices.Sorted(maps.Keys(c.others)) {
		if claim := c.others[name]; slices.Contains(served, name) {
			lost = append(lost, store.LostClaim{
				VirtualStorage: name, ClusterID: claim.ClusterID, Instance: claim.Instance, Host: claim.Host,
				Since: claim.Since.UTC(), Seen: claim.Seen.UTC(),
			})
		}
	}
	c.mu.Unlock()
	if slices.EqualFunc(lost, c.kept, func(a, b store.LostClaim) bool {
		return a.VirtualStorage == b.VirtualStorage && a.ClusterID == b.ClusterID
	}) {
		return
	}
	if err := store.WriteLostClaims(c.dir, lost); err != nil {
		c.log.ErrorContext(ctx, "a lost claim would be forgotten by a restart without Postgres", "err", err)
		return // the next comparison tries again
	}
	c.kept = lost
}

// hostName is the name of this machine, for people.
func hostName() string {
	name, err := os.Hostname()
	if err != nil {
		return "a host without a name"
	}
	return name
}

// mayBegin claims the virtual storages of the settings for a new cluster; see setup.Config.
func (c *claims) mayBegin(ctx context.Context, cluster string) (why string, err error) {
	attempt, cancel := context.WithTimeout(ctx, permissionTimeout)
	defer cancel()
	err = c.prepare(attempt)
	if errors.Is(err, postgres.ErrUpstream) {
		return "", err
	}
	var held []postgres.Claim
	if err == nil {
		by := c.self
		by.ClusterID = cluster
		held, err = c.table.Take(attempt, c.configured, by)
	}
	switch {
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case err != nil && c.without:
		c.log.WarnContext(ctx, "a new cluster begins without a claim on its virtual storages, as raft.begin_without_postgres allows", "err", err)
		return "", nil
	case err != nil:
		return fmt.Sprintf("a new cluster claims its virtual storages in Postgres before it begins, and Postgres cannot be used: %v; "+
			"it begins when Postgres is there; to begin without a claim set raft.begin_without_postgres = true", err), nil
	}
	c.note(held, cluster, nil)
	if taken := c.taken(c.configured); taken != "" {
		return "", errors.New(taken + "; to take part in that cluster list its instances as raft.peer, also this one; if it is gone for good, remove its claim: " + removeClaimCommand + " VIRTUAL-STORAGE")
	}
	return "", nil
}

// note takes the result of a comparison.
func (c *claims) note(held []postgres.Claim, cluster string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failure = err
	if err != nil {
		return // the result before stands
	}
	c.own, c.others = make(map[string]bool), make(map[string]postgres.Claim)
	for _, claim := range held {
		if claim.ClusterID == cluster {
			c.own[claim.VirtualStorage] = true
		} else {
			c.others[claim.VirtualStorage] = claim // ▲ claim-lost-unnoticed
		}
	}
}

// taken says which of the virtual storages another cluster has, "" if none.
func (c *claims) taken(names []string) string {
	own := ""
	if c.view != nil {
		own = c.view().ClusterID
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []string
	for _, name := range slices.Sorted(maps.Keys(c.others)) {
		if claim := c.others[name]; slices.Contains(names, name) && claim.ClusterID != own {
			all = append(all, fmt.Sprintf("virtual storage %q belongs to cluster %s: instance %q on host %q has claimed it at %s, and it was last confirmed at %s",
				name, claim.ClusterID, claim.Instance, claim.Host, claim.Since.Format(time.RFC3339), claim.Seen.Format(time.RFC3339)))
		}
	}
	return strings.Join(all, "; ")
}

// barred says why this instance may take no lease, "" if it may: another cluster has claimed a
// virtual storage that this one serves.
func (c *claims) barred() string {
	if c.view == nil {
		return ""
	}
	view := c.view()
	if taken := c.taken(defined(view)); taken != "" {
		return fmt.Sprintf("%s; this is cluster %s, which serves it too: two clusters must not, so this instance takes no lease; "+
			"decide which cluster stays: to keep this one remove that claim (%s VIRTUAL-STORAGE); to join that one stop praefect on each instance of this one and run: %s",
			taken, view.ClusterID, removeClaimCommand, store.RejoinCommand)
	}
	return ""
}

// unclaimed says why the virtual storage cannot be defined yet, "" if it can.
func (c *claims) unclaimed(name string) string {
	if taken := c.taken([]string{name}); taken != "" {
		return taken + "; if that cluster is gone for good, remove its claim: " + removeClaimCommand + " " + name
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.own[name] || c.without && c.failure != nil:
		return ""
	case c.failure != nil:
		return fmt.Sprintf("virtual storage %q is new, and has to be claimed in Postgres before it is defined: %v; to define it without a claim set raft.begin_without_postgres = true", name, c.failure)
	}
	return fmt.Sprintf("virtual storage %q is new, and is being claimed in Postgres", name)
}

// defined are the names of the virtual storages of the state.
func defined(view *state.State) []string {
	var names []string
	for i := range view.VirtualStorages {
		names = append(names, view.VirtualStorages[i].Name)
	}
	return names
}

// part compares claims until the daemon stops. Others start after the first comparison, which Postgres
// may hold up for a moment only.
func (c *claims) part() part {
	return part{name: "claims", run: c.run, ready: func(ctx context.Context) error {
		late := time.NewTimer(firstComparison)
		defer late.Stop()
		select {
		case <-c.compared:
		case <-late.C:
		case <-ctx.Done():
		}
		return ctx.Err()
	}}
}

func (c *claims) run(ctx context.Context) error {
	first := sync.OnceFunc(func() { close(c.compared) })
	for {
		c.compare(ctx)
		first()
		wait := compareAgain
		if c.unsettled() {
			wait = compareSoon
		}
		if err := sleep(ctx, wait); err != nil {
			return nil // told to end
		}
	}
}

// unsettled tells whether a comparison is due soon.
func (c *claims) unsettled() bool {
	if c.barred() != "" {
		return true
	}
	return slices.ContainsFunc(c.configured, func(name string) bool { return c.unclaimed(name) != "" })
}

// compare asks Postgres which clusters have the virtual storages. The leader claims the ones that
// no cluster has, and confirms the claims of its cluster.
func (c *claims) compare(ctx context.Context) {
	view := c.view()
	if view.ClusterID == "" {
		return // nothing is agreed yet
	}
	names := slices.Compact(slices.Sorted(slices.Values(slices.Concat(c.configured, defined(view)))))
	var held []postgres.Claim
	var err error
	if c.leads() {
		by := c.self
		by.ClusterID = view.ClusterID
		held, err = c.table.Take(ctx, names, by)
		if err == nil {
			held, err = c.replace(ctx, held, by, view.Replaced)
		}
		if err == nil {
			err = c.tend(ctx, view.ClusterID, names)
		}
	} else if held, err = c.table.List(ctx); err == nil {
		held = slices.DeleteFunc(held, func(claim postgres.Claim) bool { return !slices.Contains(names, claim.VirtualStorage) })
	}
	if ctx.Err() != nil {
		return
	}
	c.note(held, view.ClusterID, err)
	if err == nil {
		c.keep(ctx)
	}
	c.tell(ctx)
}

// replace takes the claims of clusters that this one replaces: an operator has recovered it from
// the state of one of their instances. It returns the claims as they are afterwards.
func (c *claims) replace(ctx context.Context, held []postgres.Claim, by postgres.Claimant, replaced []string) ([]postgres.Claim, error) {
	for i, claim := range held {
		if !slices.Contains(replaced, claim.ClusterID) {
			continue
		}
		now, err := c.table.Replace(ctx, []string{claim.VirtualStorage}, claim.ClusterID, by)
		if err != nil {
			return held, err
		}
		c.log.InfoContext(ctx, "the claim of the cluster that this one replaces was taken over", "virtual_storage", claim.VirtualStorage, "former", claim.ClusterID)
		if len(now) == 1 {
			held[i] = now[0]
		}
	}
	return held, nil
}

// tend confirms the claims of this cluster now and then, and removes the ones that it has no use
// for any more: a virtual storage that was removed is anyone's.
func (c *claims) tend(ctx context.Context, cluster string, names []string) error {
	if time.Since(c.confirmed) < confirmEvery {
		return nil
	}
	if err := c.table.Confirm(ctx, cluster); err != nil {
		return err
	}
	all, err := c.table.List(ctx)
	if err != nil {
		return err
	}
	for _, claim := range all {
		if claim.ClusterID == cluster && !slices.Contains(names, claim.VirtualStorage) {
			if _, err := c.table.Remove(ctx, claim.VirtualStorage, cluster); err != nil {
				return err
			}
			c.log.InfoContext(ctx, "a claim was given up: the virtual storage is neither in the state nor in the settings", "virtual_storage", claim.VirtualStorage)
		}
	}
	c.confirmed = time.Now()
	return nil
}

// tell logs when another cluster has a virtual storage that this one serves, and when that ends.
func (c *claims) tell(ctx context.Context) {
	why := c.barred()
	if why == c.told {
		return
	}
	if why != "" {
		c.log.ErrorContext(ctx, "this instance serves nothing", "err", why)
	} else {
		c.log.InfoContext(ctx, "no other cluster has claimed what this one serves any more")
	}
	c.told = why
}
