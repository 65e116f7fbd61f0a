package upgrade

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"praefect/test/cluster"
	"praefect/test/must"
	"praefect/test/runbook"
	"praefect/test/workload"
)

const (
	vs           = "default"
	repositories = 12
	settings     = "drain_wait = \"1s\"\n"
)

// programs are the present ones. Only TestMain sets it.
var programs cluster.Binaries

func TestMain(m *testing.M) { os.Exit(cluster.Main(m, &programs)) }

// TestCluster_rollsForthAndBack upgrades the instances one by one while clients
// write and read, and puts the former version back in the same way: no request
// fails, and nothing that was acknowledged is lost.
func TestCluster_rollsForthAndBack(t *testing.T) {
	before := buildOf(t, "previous")
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	seeds, err := workload.NewSeeds(ctx, t.TempDir(), repositories)
	must.Succeed(t, err)
	c := cluster.Run(t, cluster.Options{Instances: 3, Balancer: true, Binaries: programs, Disk: seeds.Disk, Settings: settings})
	page, root := runbook.Open(t, "upgrade.md"), t.TempDir()
	roll := func(what, block string) {
		t.Helper()
		for _, i := range c.Instances {
			began := time.Now()
			page.CarryOut(runbook.OnInstance(c, i, root), block)
			t.Logf("%s: %s is ready after %v", what, i.Label(), time.Since(began).Round(time.Millisecond))
		}
		if err := sameVersion(ctx, c); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	for name, program := range map[string]string{"praefect-new": programs.Path(cluster.Praefect), "praefect-former": before} {
		must.Succeed(t, replace(filepath.Join(root, name), program))
	}
	roll("begin with the former version", "back")
	traffic := startLoad(ctx, t, c, seeds)
	roll("forth", "upgrade")
	roll("back", "back")
	roll("forth again", "upgrade")
	page.CarryOut(runbook.OnInstance(c, c.Instances[0], root), "look")
	traffic.Stop()
	f := traffic.Figures(workload.Window{})
	t.Logf("%d writes and %d reads", f.Writes, f.Reads)
	if f.Writes == 0 || f.Reads == 0 || f.WritesFailed+f.ReadsFailed > 0 {
		t.Errorf("%d writes, %d failed; %d reads, %d failed: %v", f.Writes, f.WritesFailed, f.Reads, f.ReadsFailed, f.Faults)
	}
	must.Succeed(t, c.WaitConverged(ctx))
	if err := traffic.Verify(ctx); err != nil {
		t.Error(err)
	}
}

// replace puts another program at the path, in one step: an instance may be
// executing what is there.
func replace(path, program string) error {
	text, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", text, 0o755); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// sameVersion tells whether all instances run one version.
func sameVersion(ctx context.Context, c *cluster.Cluster) error {
	answer, err := c.Instances[0].Admin().RaftStatus(ctx)
	if err != nil {
		return err
	}
	for _, i := range answer.Instances {
		if i.Version != answer.Instances[0].Version {
			return fmt.Errorf("%s runs %s, and %s %s", i.Name, i.Version, answer.Instances[0].Name, answer.Instances[0].Version)
		}
	}
	return nil
}
