package faults

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"praefect/test/cluster"
	"praefect/test/must"
	"praefect/test/workload"
)

// TestDrain_finishesWhatIsInFlight asks the instance to end while clients are at
// work: what it has taken on it finishes, and it leaves nothing in doubt.
func TestDrain_finishesWhatIsInFlight(t *testing.T) {
	t.Parallel()
	c := start(t, cluster.Options{Settings: patient})
	i, h, to := c.Instances[0], workload.NewHistory(), clientOf(c, vs)
	paths := []string{"drain/0.git", "drain/1.git", "drain/2.git"}
	made(t, to, h, paths...)
	// One request that ends only after the instance was asked to.
	ctx, cancel := context.WithTimeout(t.Context(), 2*operationLimit)
	defer cancel()
	long, err := to.BeginCommit(ctx, paths[1], "long", "long")
	must.Succeed(t, err)
	eventually(t, time.Minute, func(ctx context.Context) error { return inFlight(ctx, c, 1) })

	l := startLoad(t, c, h, operationLimit)
	for n, path := range paths {
		l.committer(to, path, fmt.Sprintf("api-%d", n))
		l.reader(to, path)
	}
	l.pusher(clone(t, c, vs, paths[0]), vs, paths[0], "git")

	eventually(t, time.Minute, func(context.Context) error {
		if l.counts("commit") < 5 || l.counts("push") < 2 {
			return errors.New("the clients have hardly begun")
		}
		return nil
	})
	terminated := make(chan error, 1) // one result, so that nobody has to wait for us
	go func() { terminated <- i.Terminate(ctx) }()
	eventually(t, time.Minute, func(ctx context.Context) error {
		asking, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if i.WaitReady(asking) == nil {
			return errors.New("it is ready still")
		}
		return nil
	})
	_, err = long.End()
	h.Commit(workload.At(vs, paths[1]), "long", "long", err)
	if err != nil {
		t.Errorf("a request in flight: %v", err)
	}
	if err := <-terminated; err != nil {
		t.Errorf("the end of the instance: %v, want status 0", err)
	}
	l.end()
	for _, fault := range l.faults {
		// Nobody listens any more: git has it from its helper.
		if !strings.Contains(fault, "Unavailable") && !strings.Contains(fault, "refused") {
			t.Errorf("a request that came too late: %s, want UNAVAILABLE", fault)
		}
	}

	restart(t, c)
	metrics, err := i.Metrics(t.Context())
	must.Succeed(t, err)
	if inDoubt, found := metrics.Sum("praefect_in_doubt_repositories"); !found || inDoubt != 0 {
		t.Errorf("%v repositories are in doubt after the start (%v), want none", inDoubt, found)
	}
	settled(t, c, h)
	l.neverStale(t)
}
