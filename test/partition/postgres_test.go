package partition

import (
	"testing"

	"praefect/test/must"
	"praefect/test/postgres"
)

// stopPostgres takes the repair queue away: no client notices.
func stopPostgres(t *testing.T, w *harness, l *load) {
	must.Succeed(t, w.c.Postgres.Stop(postgres.Immediate))
	l.goesOn(t, w.c.Instances...)
	last(t, 2*lasting)
	must.Succeed(t, w.c.Postgres.Start(t.Context()))
	l.noneFailed(t, "")
}

// pausePostgres keeps its connections, on which nothing comes back any more.
func pausePostgres(t *testing.T, w *harness, l *load) {
	must.Succeed(t, w.c.Postgres.Pause())
	l.goesOn(t, w.c.Instances...)
	last(t, 2*lasting)
	must.Succeed(t, w.c.Postgres.Resume())
	l.noneFailed(t, "")
}
