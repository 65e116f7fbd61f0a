package postgres

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"praefect/replicator/queue"
	"praefect/replicator/queue/queuetest"
	"praefect/test/must"
	pgtest "praefect/test/postgres"
)

// depths are how many jobs wait while one is claimed and completed.
func depths() []int { return []int{1_000, 100_000, 1_000_000} }

// filled is a queue with so many due jobs, on a server that has resolved after they came.
func filled(b *testing.B, server *pgtest.Server, waiting int) *Queue {
	b.Helper()
	dsn, err := server.NewDatabase(b.Context())
	must.Succeed(b, err)
	db := migrated(b, dsn, Config{Timeout: time.Minute})
	fill(b, db, waiting)
	_, err = db.pool.ExecContext(b.Context(), "vacuum analyze praefect_raft.jobs")
	must.Succeed(b, err)
	_, err = server.SQL(b.Context(), "postgres", "checkpoint")
	must.Succeed(b, err)
	return NewQueue(db)
}

func median(took []time.Duration) time.Duration {
	slices.Sort(took)
	return took[len(took)/2]
}

// BenchmarkQueue_claimAndFinish claims a job and completes it while many others wait.
func BenchmarkQueue_claimAndFinish(b *testing.B) {
	server := launch(b, pgtest.Options{}) // with fsync
	for _, waiting := range depths() {
		b.Run(fmt.Sprint(waiting), func(b *testing.B) {
			q := filled(b, server, waiting)
			b.ResetTimer()
			took, err := queuetest.ClaimAndFinish(b.Context(), q, storage, b.N)
			must.Succeed(b, err)
			b.StopTimer()
			b.ReportMetric(float64(median(took).Nanoseconds()), "median-ns/op")
		})
	}
}

// BenchmarkQueue_claimAndFinishInTurns compares the depths on a machine that does other things too: the ratios to the
// shortest queue ought to be 1.
func BenchmarkQueue_claimAndFinishInTurns(b *testing.B) {
	server := launch(b, pgtest.Options{})
	var queues []queue.Queue
	for _, waiting := range depths() {
		queues = append(queues, filled(b, server, waiting))
	}
	b.ResetTimer()
	took, err := queuetest.InTurns(b.Context(), queues, storage, b.N)
	must.Succeed(b, err)
	b.StopTimer()
	shortest := median(took[0])
	b.ReportMetric(float64(shortest.Nanoseconds()), "median-ns/op")
	for i, waiting := range depths()[1:] {
		b.ReportMetric(float64(median(took[i+1]))/float64(shortest), fmt.Sprintf("ratio-%d", waiting))
	}
}
