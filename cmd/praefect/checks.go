package main

import (
	"context"

	"praefect/config"
	"praefect/fsm/state"
	"praefect/proxy/check"
	"praefect/replicator/postgres"
)

// checks are those of ReadinessCheck and of `praefect check`: of the database, of the storages with connections of their own,
// and of the repositories, if there is a view of the replicated state to count them in.
func checks(cfg *config.Config, db *postgres.DB, view func() *state.State) []check.Check {
	list := []check.Check{
		check.Migrations(func(ctx context.Context) (int, error) { return pendingMigrations(ctx, db) }),
		check.Storages(func(ctx context.Context) error {
			return dialAll(ctx, &lines{write: func(string) error { return nil }}, servers(cfg))
		}),
		check.Database(db.Probe),
	}
	if view != nil {
		list = append(list, check.Unavailable(func(context.Context) (int, error) { return unavailable(view()), nil }))
	}
	return list
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
		vs := &view.VirtualStorages[i]
		view.Each(vs.Name, func(_ state.Key, e *state.Entry) bool {
			if vs.Unavailable(e) {
				n++
			}
			return true
		})
	}
	return n
}
