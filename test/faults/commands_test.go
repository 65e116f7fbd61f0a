package faults

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"praefect/test/cluster"
	"praefect/test/must"
	"praefect/test/workload"
)

// TestCommands_atEveryInstance has operators work as they do with Praefect,
// whichever instance they are at: they find a repository under one number, learn
// that it is lost, give up what is lost, and remove it.
func TestCommands_atEveryInstance(t *testing.T) {
	t.Parallel()
	c := start(t, cluster.Options{Instances: 3, Settings: impatient})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	run := func(i int, args ...string) string {
		t.Helper()
		out, err := praefect(t, c, c.Instances[i], args...)
		must.Succeed(t, err)
		return out
	}
	repository := []string{"-virtual-storage", vs, "-relative-path", "a.git"}
	h, to := workload.NewHistory(), clientOf(c, vs)
	made(t, to, h, "a.git")
	must.Succeed(t, c.WaitConverged(ctx))
	for i := range c.Instances {
		out := run(i, append([]string{"metadata"}, repository...)...)
		if !strings.HasPrefix(out, "Repository ID: 1\n") || strings.Count(out, "Generation: 0, fully up to date") != 3 || run(i, "metadata", "-repository-id", "1") != out {
			t.Errorf("at instance %d: got\n%s", i, out)
		}
		if out := run(i, "check", "-q"); !strings.HasSuffix(out, "All checks passed.\n") {
			t.Errorf("at instance %d: got\n%s", i, out)
		}
	}

	// Only gitaly-1 gets the second commit, and is lost.
	for _, s := range c.Storages[1:] {
		must.Succeed(t, s.Kill())
	}
	if _, err := to.Commit(ctx, "a.git", "main", "second"); err != nil {
		t.Fatal(err)
	}
	must.Succeed(t, c.Storages[0].Kill())
	for _, s := range c.Storages[1:] {
		must.Succeed(t, s.Start())
	}
	eventually(t, time.Minute, func(context.Context) error {
		want := `Virtual storage: default
  Repositories:
    a.git (unavailable):
      Primary: gitaly-1
      In-Sync Storages:
        gitaly-1, assigned host, unhealthy
      Outdated Storages:
        gitaly-2 is behind by 1 change or less, assigned host
        gitaly-3 is behind by 1 change or less, assigned host
`
		for i := range c.Instances {
			if got := run(i, "dataloss"); got != want {
				return fmt.Errorf("at instance %d: got\n%s", i, got)
			}
		}
		return nil
	})
	leader, err := c.Leader(ctx)
	must.Succeed(t, err)
	follower := 0
	for i := range c.Instances {
		if c.Instances[i] != leader {
			follower = i
		}
	}
	if out := run(follower, append([]string{"accept-dataloss", "-authoritative-storage", "gitaly-2", "-why", "its disk is göne"}, repository...)...); out != "" {
		t.Errorf("accept-dataloss says %q", out)
	}
	record, err := c.Operate(ctx, "dataloss", "accepted")
	if want := "operator: accept-dataloss (SetAuthoritativeStorage): its disk is göne"; err != nil || !strings.Contains(record, want) {
		t.Errorf("the record of losses is %q, %v; want %q in it", record, err, want)
	}
	eventually(t, time.Minute, func(ctx context.Context) error {
		_, err := to.Commit(ctx, "a.git", "main", "another second")
		return err
	})

	must.Succeed(t, c.Storages[0].Start())
	must.Succeed(t, c.WaitConverged(ctx))
	if out, want := run(follower, append([]string{"remove-repository", "-apply"}, repository...)...), "a.git was removed from the database and from every storage.\n"; out != want {
		t.Errorf("got %q, want %q", out, want)
	}
	if out, err := praefect(t, c, leader, append([]string{"metadata"}, repository...)...); err == nil {
		t.Errorf("the repository is removed, and metadata says\n%s", out)
	}
}
