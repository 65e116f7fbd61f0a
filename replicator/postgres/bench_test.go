package postgres

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"praefect/replicator/queue/queuetest"
	pgtest "praefect/test/postgres"
)

// BenchmarkQueue_claimAndFinish claims a job and completes it while many others wait. The figures of different depths
// ought to be the same.
func BenchmarkQueue_claimAndFinish(b *testing.B) {
	server := launch(b, pgtest.Options{}) // with fsync
	for _, waiting := range []int{1_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprint(waiting), func(b *testing.B) {
			dsn, err := server.NewDatabase(b.Context())
			must(b, err)
			db := migrated(b, dsn, Config{Timeout: time.Minute})
			fill(b, db, waiting)
			b.ResetTimer()
			took, err := queuetest.ClaimAndFinish(b.Context(), NewQueue(db), storage, b.N)
			must(b, err)
			b.StopTimer()
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Nanoseconds()), "median-ns/op")
			b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds()), "p99-ns/op")
		})
	}
}
