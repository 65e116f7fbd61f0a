package votes

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"praefect/test/cluster"
	"praefect/test/must"
	"praefect/test/scenario"
	"praefect/test/workload"
)

const vs = "default"

// settings make repairs and returns take seconds instead of minutes. What decides
// about votes is as without settings.
const settings = `
drain_wait = "0s"
[failover]
return_after = "1s"
return_after_max = "2s"
warm_up = "1s"
[consistency]
write_timeout = "8s"
intent_linger = "300ms"
[logging]
level = "debug"
` + workload.EagerRepair

const (
	// operationLimit bounds one operation of a client: it is longer than writes are
	// ever held, and than the wait for a storage that lives and does not vote.
	operationLimit = 40 * time.Second
	// settleLimit bounds the time until nothing is left to repair.
	settleLimit = 2 * time.Minute
)

// harness is a cluster in which all storages vote, and what clients know of it.
type harness struct {
	*cluster.Cluster
	history *workload.History
	began   time.Time
}

// start starts a cluster of three instances whose storages all serve.
func start(t *testing.T, options cluster.Options) *harness {
	t.Helper()
	options.Binaries, options.Instances = programs, 3
	if options.Settings == "" {
		options.Settings = settings
	}
	w := &harness{history: workload.NewHistory(), began: time.Now()}
	w.Cluster = cluster.Run(t, options)
	w.settled(t)
	w.allServe(t)
	w.lap(t, "the cluster stands")
	return w
}

// lap tells how long something took.
func (w *harness) lap(t *testing.T, what string, args ...any) {
	t.Helper()
	t.Logf("%v: %s", time.Since(w.began).Round(time.Millisecond), fmt.Sprintf(what, args...))
	w.began = time.Now()
}

// settled waits until every process runs and nothing is left to repair, and checks
// the whole state.
func (w *harness) settled(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), settleLimit)
	defer cancel()
	must.Succeed(t, w.WaitReady(ctx))
	must.Succeed(t, w.history.AwaitRepairs(ctx, w.Cluster))
}

// client is one of an instance.
func (w *harness) client(i *cluster.Instance) workload.Client {
	return workload.Client{Conn: i.Conn(), VirtualStorage: vs}
}

// crowd is where victims are.
func (w *harness) crowd(t *testing.T) workload.Crowd {
	return workload.Crowd{Cluster: w.Cluster, VirtualStorage: vs, History: w.history, Dir: t.TempDir()}
}

// make makes repositories with a first commit each, through the first instance.
func (w *harness) make(t *testing.T, paths ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), scenario.WaitLimit)
	defer cancel()
	for _, path := range paths {
		must.Succeed(t, w.history.Make(ctx, w.client(w.Instances[0]), path))
	}
}

// clone clones a repository through the first instance.
func (w *harness) clone(t *testing.T, path string) *workload.Checkout {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), scenario.WaitLimit)
	defer cancel()
	c, err := workload.Clone(ctx, w.Cluster, w.Instances[0].URL(vs, path), filepath.Join(t.TempDir(), "clone"))
	must.Succeed(t, err)
	return c
}

// secondary is one that is not the primary.
func (w *harness) secondary(t *testing.T) *cluster.Storage {
	t.Helper()
	primary := scenario.Primary(t, w.Cluster, vs)
	for _, s := range w.Storages {
		if s != primary {
			return s
		}
	}
	t.Fatal("there is only a primary")
	return nil
}

// restart lets an instance end in good order and starts it again.
func (w *harness) restart(t *testing.T, i *cluster.Instance) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), scenario.WaitLimit)
	defer cancel()
	must.Succeed(t, i.Terminate(ctx))
	must.Succeed(t, i.Start())
	w.ready(t, i)
}

// ready waits until an instance that was started takes requests, of the cluster's
// clients too, and reaches all storages.
func (w *harness) ready(t *testing.T, i *cluster.Instance) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), scenario.WaitLimit)
	defer cancel()
	must.Succeed(t, i.WaitReady(ctx))
	must.Succeed(t, w.client(i).Connected(ctx))
	scenario.Eventually(t, i.Label()+" reaches all storages", func(ctx context.Context) error { return allServe(ctx, i) })
}

// allServe waits until every storage serves and votes, as every instance sees it.
func (w *harness) allServe(t *testing.T) {
	t.Helper()
	scenario.Eventually(t, "all storages serve and vote", func(ctx context.Context) error {
		for _, i := range w.Instances {
			if err := allServe(ctx, i); err != nil {
				return err
			}
		}
		return nil
	})
}

// ended waits for the end of a storage that kills itself.
func (w *harness) ended(t *testing.T, s *cluster.Storage) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), operationLimit)
	defer cancel()
	if _, ok := errors.AsType[*cluster.ExitError](s.Wait(ctx)); !ok {
		t.Fatalf("%s did not die", s.Label())
	}
}
