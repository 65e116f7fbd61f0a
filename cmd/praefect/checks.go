package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"praefect/config"
	"praefect/fsm/state"
	"praefect/proxy/check"
	"praefect/replicator/postgres"
)

// checks are the checks of ReadinessCheck and of `praefect check`: of the database, of the storages
// with connections of their own, of this instance's own certificates if it has any, and of the
// repositories, if there is a view of the replicated state to count them in.
func checks(cfg func() *config.Config, db *postgres.DB, view func() *state.State) []check.Check {
	list := []check.Check{
		check.Migrations(func(ctx context.Context) (int, error) { return pendingMigrations(ctx, db) }),
		check.Storages(func(ctx context.Context) error {
			return dialAll(ctx, &lines{write: func(string) error { return nil }}, servers(cfg()))
		}),
		check.Database(db.Probe),
		check.Ours(func(ctx context.Context) error { return upstream(ctx, db) }),
	}
	if len(ownCertificates(cfg())) > 0 {
		list = append(list,
			check.Certificates(func(context.Context) error { return unusable(ownCertificates(cfg()), time.Now()) }),
			check.Expiry(func(context.Context) error { return expiring(ownCertificates(cfg()), time.Now()) }))
	}
	if view != nil {
		list = append(list, check.Unavailable(func(context.Context) (int, error) { return unavailable(view()), nil }))
	}
	return list
}

// upstream says whether the database is one that no cluster begins with. That Postgres cannot be asked is neither a finding
// nor a pass.
func upstream(ctx context.Context, db *postgres.DB) error {
	err := db.CheckUpstream(ctx)
	if err == nil || errors.Is(err, postgres.ErrUpstream) {
		return err
	}
	return fmt.Errorf("%w: %w; repeat the check once Postgres answers", check.ErrNotAsked, err)
}

func pendingMigrations(ctx context.Context, db *postgres.DB) (n int, err error) {
	status, err := db.MigrationStatus(ctx)
	for _, m := range status {
		if m.AppliedAt.IsZero() {
			n++
		}
	}
	return n, err
}

// unavailable counts the repositories without an in-sync serving storage. They are all in the ledger, as every virtual storage
// has a serving storage at any time.
func unavailable(view *state.State) (n int) {
	for i := range view.VirtualStorages {
		n += view.Unavailable(view.VirtualStorages[i].Name)
	}
	return n
}
