package main

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"praefect/replicator/postgres"
	jobs "praefect/replicator/queue"
	"praefect/replicator/queue/queuetest"
	"praefect/test/cluster"
	server "praefect/test/postgres"
)

// claims is how many jobs one run claims and finishes on each queue.
const claims = 60

// queue measures how long it takes to claim a job and to finish it while
// others wait, on a Postgres of its own. The queues take turns, so that other work of
// the machine strikes all of them.
func queue(ctx context.Context, _ cluster.Binaries, s settings) (figures, error) {
	pg, err := server.Launch(ctx, server.Options{})
	if err != nil {
		return nil, err
	}
	defer pg.Close()
	waiting := []int{1_000, 100_000, 1_000_000}
	var queues []jobs.Queue
	for _, n := range waiting {
		q, stop, err := filled(ctx, pg, n)
		if err != nil {
			return nil, fmt.Errorf("fill a queue with %d jobs: %w", n, err)
		}
		defer stop()
		queues = append(queues, q)
	}
	if _, err := pg.SQL(ctx, "postgres", "checkpoint"); err != nil {
		return nil, err
	}
	samples := make([][]float64, len(queues))
	for range s.runs {
		took, err := queuetest.InTurns(ctx, queues, "default", claims)
		if err != nil {
			return nil, err
		}
		for i := range took {
			slices.Sort(took[i])
			samples[i] = append(samples[i], median(took[i]))
		}
	}
	var all figures
	for i, n := range waiting {
		all = append(all, of(fmt.Sprint("queue_", n), direct, 1, "ms", samples[i]))
	}
	return all, nil
}

// filled is a queue with n due jobs, after Postgres has settled.
func filled(ctx context.Context, pg *server.Server, n int) (q jobs.Queue, stop func() error, err error) {
	dsn, err := pg.NewDatabase(ctx)
	if err != nil {
		return nil, nil, err
	}
	db, err := postgres.Open(dsn, slog.New(slog.DiscardHandler), postgres.Config{Timeout: time.Minute})
	if err != nil {
		return nil, nil, err
	}
	if _, err = db.Migrate(ctx); err == nil {
		q = postgres.NewQueue(db)
		if err = queuetest.Fill(ctx, q, "default", n); err == nil {
			_, err = pg.SQL(ctx, databaseName(dsn), "vacuum analyze praefect_raft.jobs")
		}
	}
	if err != nil {
		db.Close()
		return nil, nil, err
	}
	return q, db.Close, nil
}

// databaseName is the dbname of a DSN in the form of key='value' pairs.
func databaseName(dsn string) string {
	_, rest, _ := strings.Cut(dsn, "dbname=")
	name, _, _ := strings.Cut(strings.TrimPrefix(rest, "'"), " ")
	return strings.TrimSuffix(name, "'")
}
