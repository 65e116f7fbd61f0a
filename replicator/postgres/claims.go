package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/lib/pq"
)

// Claim says which cluster has a virtual storage.
type Claim struct {
	VirtualStorage string
	Claimant
	// Since is when the cluster entered it, Seen when an instance of the cluster last confirmed it.
	Since, Seen time.Time
	// SeenAgo is how long ago that was by the server's clock, when the claim was read.
	SeenAgo time.Duration
}

// Claimant names a cluster, and the instance of it that enters a claim.
type Claimant struct {
	ClusterID, Instance, Host string
}

// Claims says which cluster has each virtual storage, in the table praefect_raft.claims. It promises that the first
// claimant of a virtual storage has it until its claim is removed or replaced by name.
type Claims struct{ db *DB }

// NewClaims returns the claims of a database. Until Migrate has made its table, calls are refused as unavailable.
func NewClaims(db *DB) *Claims { return &Claims{db: db} }

// Take enters a claim on each of the virtual storages that has none, and returns the claims of all of them, by name:
// the claims of another cluster are still that cluster's.
func (c *Claims) Take(ctx context.Context, virtualStorages []string, by Claimant) ([]Claim, error) {
	held, err := served(ctx, c.db, func(ctx context.Context, tx *sql.Tx, _ bool) ([]Claim, error) {
		return take(ctx, tx, virtualStorages, by)
	})
	return held, tried(err, "claim virtual storages for cluster %s", by.ClusterID)
}

// take enters the claims that are free, and returns all.
func take(ctx context.Context, tx *sql.Tx, virtualStorages []string, by Claimant) ([]Claim, error) {
	if _, err := tx.ExecContext(ctx, takeClaimsSQL, pq.Array(virtualStorages), by.ClusterID, by.Instance, by.Host); err != nil {
		return nil, err
	}
	return query(ctx, tx, scanClaim, claimsOfSQL, pq.Array(virtualStorages))
}

// List returns all claims of the database, by virtual storage.
func (c *Claims) List(ctx context.Context) ([]Claim, error) {
	all, err := fetch(ctx, c.db, scanClaim, allClaimsSQL)
	return all, tried(err, "list the claims on virtual storages")
}

// Confirm notes that the cluster still runs.
func (c *Claims) Confirm(ctx context.Context, clusterID string) error {
	_, err := c.db.change(ctx, confirmClaimsSQL, clusterID)
	return tried(err, "confirm the claims of cluster %s", clusterID)
}

// Remove removes the claim of a cluster on a virtual storage, and reports whether there was one.
func (c *Claims) Remove(ctx context.Context, virtualStorage, clusterID string) (removed bool, err error) {
	err = c.db.serve(ctx, func(ctx context.Context, tx *sql.Tx, repeated bool) error {
		n, err := affected(ctx, tx, removeClaimSQL, virtualStorage, clusterID)
		removed = n > 0 || repeated && removed
		return err
	})
	if err != nil {
		return false, fmt.Errorf("remove the claim of cluster %s on virtual storage %q: %w", clusterID, virtualStorage, err)
	}
	return removed, nil
}

// Replace gives the claims of a former cluster to another one, by the operator's word that the former one is gone, and
// enters a claim where there is none. It returns the claims of all of the virtual storages, by name: one that is of
// neither cluster stays as it is.
func (c *Claims) Replace(ctx context.Context, virtualStorages []string, former string, by Claimant) ([]Claim, error) {
	held, err := served(ctx, c.db, func(ctx context.Context, tx *sql.Tx, _ bool) ([]Claim, error) {
		if _, err := tx.ExecContext(ctx, replaceClaimsSQL, pq.Array(virtualStorages), former, by.ClusterID, by.Instance, by.Host); err != nil {
			return nil, err
		}
		return take(ctx, tx, virtualStorages, by)
	})
	return held, tried(err, "give the claims of cluster %s to cluster %s", former, by.ClusterID)
}

func scanClaim(row *sql.Rows, c *Claim) error {
	var ago float64
	err := row.Scan(&c.VirtualStorage, &c.ClusterID, &c.Instance, &c.Host, &c.Since, &c.Seen, &ago)
	c.Since, c.Seen, c.SeenAgo = c.Since.UTC(), c.Seen.UTC(), time.Duration(ago*float64(time.Second))
	return err
}

// The statements of the claims.

const claimColumns = `
select c.virtual_storage, c.cluster_id, c.instance, c.host, c.claimed_at, c.seen_at,
	extract(epoch from clock_timestamp() - c.seen_at)::float8
from praefect_raft.claims as c`

const allClaimsSQL = claimColumns + `
order by c.virtual_storage`

const claimsOfSQL = claimColumns + `
where c.virtual_storage = any ($1::text[])
order by c.virtual_storage`

// takeClaimsSQL inserts in the order of the names, so that claims at the same time do not deadlock; a second claimant waits
// for the first one's commit, and then finds its row. Likewise replaceClaimsSQL.
const takeClaimsSQL = `
insert into praefect_raft.claims (virtual_storage, cluster_id, instance, host)
select n.name, $2, $3, $4 from unnest($1::text[]) as n (name)
order by n.name collate "C"
on conflict (virtual_storage) do nothing`

const confirmClaimsSQL = `
update praefect_raft.claims as c set seen_at = now() where c.cluster_id = $1`

const removeClaimSQL = `
delete from praefect_raft.claims as c where c.virtual_storage = $1 and c.cluster_id = $2`

const replaceClaimsSQL = `
with former as (
	select c.virtual_storage from praefect_raft.claims as c
	where c.virtual_storage = any ($1::text[]) and c.cluster_id = $2
	order by c.virtual_storage
	for update of c)
update praefect_raft.claims as c
set cluster_id = $3, instance = $4, host = $5, claimed_at = now(), seen_at = now()
from former where c.virtual_storage = former.virtual_storage`
