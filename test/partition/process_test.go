package partition

import (
	"context"
	"errors"
	"testing"
	"time"

	"praefect/proxy/admin"
	"praefect/test/cluster"
	"praefect/test/must"
	"praefect/test/scenario"
	"praefect/test/workload"
)

func killPrimary(t *testing.T, w *harness, l *load) {
	primary := scenario.Primary(t, w.c, vs)
	must.Succeed(t, primary.Kill())
	w.succeeded(t, primary, w.c.Instances...)
	l.goesOn(t, w.c.Instances...)
	must.Succeed(t, primary.Start())
}

// stopPrimary lets it be silent until it is replaced.
func stopPrimary(t *testing.T, w *harness, l *load) {
	primary := scenario.Primary(t, w.c, vs)
	must.Succeed(t, primary.Pause())
	w.succeeded(t, primary, w.c.Instances...)
	l.goesOn(t, w.c.Instances...)
	must.Succeed(t, primary.Resume())
}

func killLeader(t *testing.T, w *harness, l *load) {
	i := scenario.Leader(t, w.c)
	must.Succeed(t, i.Kill())
	w.replaced(t, i)
	l.goesOn(t, scenario.Others(w.c, i)...)
	must.Succeed(t, i.Start())
}

// replaced waits until one of the others says that it leads. None is asked for more
// than it knows by itself: the old leader may not answer.
func (w *harness) replaced(t *testing.T, old *cluster.Instance) {
	t.Helper()
	began := time.Now()
	w.eventually(t, "there is another leader", func(ctx context.Context) error {
		for _, i := range scenario.Others(w.c, old) {
			metrics, err := i.Metrics(ctx)
			if err != nil {
				return err
			}
			if metrics["praefect_leader"] == 1 {
				return nil
			}
		}
		return errors.New("nobody else leads")
	})
	t.Logf("another instance led after %v", time.Since(began).Round(time.Millisecond))
}

// sleepThroughFailover stops the leader's instance in the middle of a write; when it
// goes on, its connection to the storage is as it was, but another storage has
// become the primary.
func sleepThroughFailover(t *testing.T, w *harness, l *load) {
	i, primary := scenario.Leader(t, w.c), scenario.Primary(t, w.c, vs)
	others := scenario.Others(w.c, i)
	path, subject := l.spare()
	// A deadline that is not why it fails: longer than all this takes.
	ctx, cancel := context.WithTimeout(t.Context(), 3*operationLimit)
	defer cancel()
	call, err := workload.Client{Conn: i.Conn(), VirtualStorage: vs}.BeginCommit(ctx, path, "spare", subject)
	must.Succeed(t, err)
	w.eventually(t, "the write is in the ledger", func(ctx context.Context) error {
		answer, err := others[0].Admin().Dataloss(ctx, admin.DatalossRequest{VirtualStorage: vs, RelativePath: path})
		if err == nil && len(answer.Repositories) == 0 {
			err = errors.New("it is not")
		}
		return err
	})
	must.Succeed(t, i.Pause())
	must.Succeed(t, w.testbed.Part(t.Context(), scenario.Labels(others), []string{primary.Label()}))
	w.replaced(t, i)
	w.succeeded(t, primary, others...)
	l.goesOn(t, others...)
	must.Succeed(t, i.Resume())
	if id, err := call.End(); err == nil {
		t.Errorf("%s acknowledged the commit %s, begun under a lease that has ended, on a storage that is no primary any more", i.Label(), id)
	} else {
		t.Logf("the write that slept: %v", err)
	}
	w.heal(t)
}

// restartAll restarts one instance after the other, as an upgrade does: no request of
// a client of the balancer fails.
func restartAll(t *testing.T, w *harness, l *load) {
	ctx, cancel := context.WithTimeout(t.Context(), settleLimit)
	defer cancel()
	must.Succeed(t, scenario.RestartEach(ctx, w.c))
	l.noneFailed(t, balanced)
}
