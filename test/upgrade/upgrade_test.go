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
	ctx, c, seeds := begin(t, settings)
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
	fine(ctx, t, c, traffic)
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
