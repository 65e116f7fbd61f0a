package upgrade

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"praefect/fsm/state"
	"praefect/test/cluster"
	"praefect/test/must"
	"praefect/test/scenario"
)

// patience bounds each wait on a busy machine.
const patience = 2 * time.Minute

// TestCluster_levelRisesWhenAllInstancesHaveIt upgrades to a build that knows one feature level
// more (build tag nextlevel). While one instance lacks it the level stays, and the former program
// may come back. When all have it the level rises by itself; the former program then stays out,
// says why, and leaves its disk as it is. No request fails meanwhile.
func TestCluster_levelRisesWhenAllInstancesHaveIt(t *testing.T) {
	next, present := filepath.Join(t.TempDir(), "next"), keepPresent(t)
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-tags=nextlevel", "-ldflags=-w -X main.version=next", "-o", next, "praefect/cmd/"+cluster.Praefect)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the next release: %v: %s", err, out)
	}
	ctx, c, seeds := begin(t, settings)
	traffic := startLoad(ctx, t, c, seeds)
	install := func(i *cluster.Instance, program string) {
		t.Helper()
		must.Succeed(t, errors.Join(i.Terminate(ctx), replace(programs.Path(cluster.Praefect), program), i.Start()))
	}
	upgrade := func(i *cluster.Instance, program string) {
		t.Helper()
		install(i, program)
		must.Succeed(t, i.WaitReady(ctx))
	}
	last := c.Instances[2]
	upgrade(c.Instances[0], next)
	upgrade(c.Instances[1], next)
	levelIs(t, c, state.Level)
	upgrade(c.Instances[1], present) // the way back
	levelIs(t, c, state.Level)
	upgrade(c.Instances[1], next)
	upgrade(last, next)
	levelIs(t, c, state.Level+1)

	install(last, present)
	waiting, stop := context.WithTimeout(ctx, patience)
	defer stop()
	exit, ended := errors.AsType[*cluster.ExitError](last.Wait(waiting))
	if !ended || exit.State.ExitCode() != 1 {
		t.Fatalf("the former program: %v", exit)
	}
	log, err := os.ReadFile(last.Log())
	must.Succeed(t, err)
	for _, part := range []string{"too old for the cluster and stays out of it", "install the version that the other instances run"} {
		if !strings.Contains(string(log), part) {
			t.Errorf("the log does not say %q", part)
		}
	}
	must.Succeed(t, replace(programs.Path(cluster.Praefect), next))
	must.Succeed(t, last.Start())
	must.Succeed(t, last.WaitReady(ctx))
	levelIs(t, c, state.Level+1)
	fine(ctx, t, c, traffic)
}

// levelIs waits until every instance says that the cluster has the feature level.
func levelIs(t *testing.T, c *cluster.Cluster, level int) {
	t.Helper()
	scenario.Within(t, patience, fmt.Sprintf("the feature level is %d", level), func(ctx context.Context) (missing error) {
		for _, i := range c.Instances {
			answer, err := i.Admin().RaftStatus(ctx)
			if err == nil && answer.FeatureLevel != level {
				err = fmt.Errorf("%s says level %d", i.Label(), answer.FeatureLevel)
			}
			missing = errors.Join(missing, err)
		}
		return missing
	})
}
