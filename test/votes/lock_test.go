package votes

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"praefect/test/cluster"
	"praefect/test/gitaly"
	"praefect/test/must"
	"praefect/test/scenario"
	"praefect/test/workload"
)

// TestLock_ofAKilledGit stops a storage while a write waits there with its reference
// locked, and kills the instance that has the write under way. When the storage goes on, it
// finds the call cut, and kills the git, as Gitaly does since 18: the lock stays, and every
// copy onto the replica fails. The replica is made again without an operator.
func TestLock_ofAKilledGit(t *testing.T) {
	t.Parallel()
	w := start(t, cluster.Options{})
	const path = "locked.git"
	at := workload.At(vs, path)
	w.make(t, path)
	primary, victim := scenario.Primary(t, w.Cluster, vs), w.secondary(t)
	lock := filepath.Join(victim.Dir, path, "refs", "heads", "main.lock")
	locked := func() bool { _, err := os.Stat(lock); return err == nil }
	must.Succeed(t, gitaly.WriteFaults(victim.Dir, gitaly.Fault{Prefix: path, Cancel: "kill"}))
	must.Succeed(t, gitaly.WriteFaults(primary.Dir, gitaly.Fault{Prefix: path, Vote: "late=6s@prepared"}))

	ctx, cancel := context.WithTimeout(t.Context(), scenario.WaitLimit)
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		_, err := w.client(w.Instances[0]).Commit(ctx, path, "main", "stopped")
		w.history.Commit(at, "main", "stopped", err)
		ended <- err
	}()
	scenario.Eventually(t, "the reference is locked", func(context.Context) error {
		if !locked() {
			return errors.New("no lock yet")
		}
		return nil
	})
	must.Succeed(t, victim.Pause())
	must.Succeed(t, w.Instances[0].Kill()) // which cuts its connections
	w.lap(t, "stopped; the write ended with %v", <-ended)
	must.Succeed(t, gitaly.WriteFaults(primary.Dir))
	tries := 0
	scenario.Eventually(t, "another write succeeds", func(ctx context.Context) error {
		tries++
		subject := fmt.Sprint("without-", tries)
		_, err := w.client(w.Instances[1]).Commit(ctx, path, "main", subject)
		w.history.Commit(at, "main", subject, err)
		return err
	})
	must.Succeed(t, victim.Resume())
	must.Succeed(t, w.Instances[0].Start())
	w.ready(t, w.Instances[0])
	w.settled(t)
	w.lap(t, "repaired")
	if locked() {
		t.Error("the lock is left")
	}
	remade := 0
	for _, i := range w.Instances {
		text, err := os.ReadFile(i.Log())
		must.Succeed(t, err)
		remade += strings.Count(string(text), "it is removed and copied from nothing")
	}
	if remade == 0 {
		t.Error("the replica was not made again: has no lock been left?")
	}
}
