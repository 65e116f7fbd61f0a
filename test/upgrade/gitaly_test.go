package upgrade

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"praefect/proxy/admin"
	"praefect/test/cluster"
	"praefect/test/must"
	"praefect/test/runbook"
	"praefect/test/workload"
)

// newer is the release that the storages are upgraded to. It hashes new repositories and the
// ends of pushes otherwise than the one before.
const newer = "18.9.0"

// TestStorages_areUpgradedOneByOne carries out the page about it, while clients write and
// read: no request fails, nothing that was acknowledged is lost, repositories are made and
// pushed to in every mixture of releases, and all replicas agree in the end.
func TestStorages_areUpgradedOneByOne(t *testing.T) {
	ctx, c, seeds := begin(t, settings+"[failover]\nreturn_after = \"1s\"\n")
	must.Succeed(t, c.WaitConverged(ctx)) // all serve
	page, root := runbook.Open(t, "upgrade-gitaly.md"), t.TempDir()
	program := fmt.Appendf(nil, "#!/bin/sh\nexec '%s' -release %s \"$@\"\n", programs.Path(cluster.TestGitaly), newer)
	must.Succeed(t, os.WriteFile(filepath.Join(root, "gitaly"), program, 0o755))
	hosts := make(map[string]*runbook.Host)
	for _, s := range c.Storages {
		s.Become(filepath.Join(t.TempDir(), "gitaly")) // which the page puts there
		hosts[s.Name] = runbook.OnStorage(c, s, root)
	}
	traffic := startLoad(ctx, t, c, seeds)

	made := 0
	tryOut := func(when string) {
		t.Helper()
		made++
		path := fmt.Sprintf("made/during-upgrade-%d.git", made)
		url, err := c.CreateRepository(ctx, vs, path)
		if err != nil {
			t.Fatalf("%s: make a repository: %v", when, err)
		}
		work, err := workload.Clone(ctx, c, url, filepath.Join(t.TempDir(), "work"))
		if err != nil {
			t.Fatalf("%s: clone it: %v", when, err)
		}
		if _, err := work.Push(ctx, url, "main", when); err != nil {
			t.Fatalf("%s: push to it: %v", when, err)
		}
	}
	upgrade := func(name string) {
		t.Helper()
		for _, block := range []string{"drain", "replace", "return"} {
			page.CarryOut(hosts[name], block)
		}
		tryOut("after the upgrade of " + name)
	}
	tryOut("before")
	upgrade("gitaly-3")
	upgrade("gitaly-2")
	wantVersions(ctx, t, c, map[string]bool{"gitaly-2": true, "gitaly-3": true})
	page.CarryOut(runbook.OnInstance(c, c.Instances[0], root), "promote")
	tryOut("after the switchover")
	upgrade("gitaly-1")
	page.CarryOut(runbook.OnInstance(c, c.Instances[0], root), "look")
	wantVersions(ctx, t, c, map[string]bool{"gitaly-1": true, "gitaly-2": true, "gitaly-3": true})

	fine(ctx, t, c, traffic)
	unlike := 0.0
	for _, i := range c.Instances {
		metrics, err := i.Metrics(ctx)
		must.Succeed(t, err)
		unlike += metrics["praefect_unlike_votes_total"]
	}
	t.Logf("%v storages were left out because of their release", unlike)
	if unlike == 0 {
		t.Error("no storage was left out: the releases have not differed")
	}
}

// wantVersions wants status to show the newer release of these storages alone.
func wantVersions(ctx context.Context, t *testing.T, c *cluster.Cluster, upgraded map[string]bool) {
	t.Helper()
	answer, err := c.Instances[0].Admin().Status(ctx, admin.StatusRequest{VirtualStorage: vs})
	must.Succeed(t, err)
	for _, s := range answer.VirtualStorages[0].Storages {
		if got := s.Version == newer; got != upgraded[s.Name] {
			t.Errorf("status shows version %q of %s", s.Version, s.Name)
		}
	}
}
