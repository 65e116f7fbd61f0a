package strong

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"praefect/test/cluster"
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
	// patience bounds the wait for what must happen, on a busy machine too.
	patience = time.Minute
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
	if dir := os.Getenv("E2E_DIR"); dir != "" {
		options.Dir = filepath.Join(dir, t.Name())
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
	must(t, w.WaitReady(ctx))
	must(t, w.history.AwaitRepairs(ctx, w.Cluster))
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
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, path := range paths {
		must(t, w.history.Make(ctx, w.client(w.Instances[0]), path))
	}
}

// clone clones a repository through the first instance.
func (w *harness) clone(t *testing.T, path string) *workload.Checkout {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := workload.Clone(ctx, w.Cluster, w.Instances[0].URL(vs, path), filepath.Join(t.TempDir(), "clone"))
	must(t, err)
	return c
}

// primary is the storage that takes writes.
func (w *harness) primary(t *testing.T) *cluster.Storage {
	t.Helper()
	var primary *cluster.Storage
	w.eventually(t, "there is a primary", func(ctx context.Context) (err error) {
		primary, err = w.Primary(ctx, vs)
		return err
	})
	return primary
}

// secondary is one that is not the primary.
func (w *harness) secondary(t *testing.T) *cluster.Storage {
	t.Helper()
	primary := w.primary(t)
	for _, s := range w.Storages {
		if s != primary {
			return s
		}
	}
	t.Fatal("there is only a primary")
	return nil
}

// eventually waits until attempt returns nil.
func (w *harness) eventually(t *testing.T, what string, attempt func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		err := attempt(ctx)
		if err == nil {
			return
		}
		if workload.Pass(ctx, 20*time.Millisecond) != nil {
			t.Fatalf("wait until %s, for %v: %v", what, patience, err)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// restart lets an instance end in good order and starts it again.
func (w *harness) restart(t *testing.T, i *cluster.Instance) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	must(t, i.Terminate(ctx))
	must(t, i.Start())
	w.ready(t, i)
}

// ready waits until an instance that was started takes requests, of the cluster's
// clients too, and reaches all storages.
func (w *harness) ready(t *testing.T, i *cluster.Instance) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	must(t, i.WaitReady(ctx))
	must(t, w.client(i).Connected(ctx))
	w.eventually(t, i.Label()+" reaches all storages", func(ctx context.Context) error { return allServe(ctx, i) })
}

// allServe waits until every storage serves and votes, as every instance sees it.
func (w *harness) allServe(t *testing.T) {
	t.Helper()
	w.eventually(t, "all storages serve and vote", func(ctx context.Context) error {
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
