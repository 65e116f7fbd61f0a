package faults

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	"praefect/test/cluster"
	"praefect/test/must"
	"praefect/test/workload"
)

// crash is a step at which the instance dies.
type crash struct {
	step   string
	effect workload.Effect
}

// crashes are those at which a write that is under way gets no answer.
var crashes = []crash{
	{"after-wrote", workload.Nowhere},
	{"after-forward", workload.WhollyOrNot},
	{"after-success", workload.Everywhere},
	{"after-enqueue", workload.Everywhere},
	{"before-status", workload.Everywhere},
}

// lateCrashes are those that a write comes by after its answer.
var lateCrashes = []crash{
	{"during-close", workload.Everywhere},
	{"repair-after-open", workload.Everywhere},
	{"repair-before-conclusion", workload.Everywhere},
	{"repair-after-conclusion", workload.Everywhere},
}

// victims are the writes during which, or after which, the instance dies.
var victims = workload.Victims()

// TestCrash_atEveryStepOfEveryWrite kills the instance at each step of each kind
// of write. Each start but the last finds what all the crashes before have left.
func TestCrash_atEveryStepOfEveryWrite(t *testing.T) {
	t.Parallel()
	c := start(t, cluster.Options{Settings: impatient})
	h := workload.NewHistory()
	writes := prepare(t, c, h, victims, crashes)
	for _, crash := range crashes {
		for _, victim := range victims {
			if err := crash.die(t, c, writes[crashPath(crash, victim)]); err == nil {
				t.Errorf("the %s that met %s was acknowledged", victim.Kind, crash.step)
			}
		}
	}
	restart(t, c)
	settled(t, c, h)
	for _, crash := range crashes {
		t.Run(crash.step, func(t *testing.T) {
			for _, victim := range victims {
				crash.check(t, c, victim)
			}
		})
	}
}

// TestCrash_atEveryStepAfterAWrite kills the instance when a write was answered,
// and its mark is closed or its repair under way.
func TestCrash_atEveryStepAfterAWrite(t *testing.T) {
	t.Parallel()
	c := start(t, cluster.Options{Settings: impatient})
	h := workload.NewHistory()
	repaired := []workload.Victim{victims[1], victims[3]} // by a copy and by a removal
	writes := prepare(t, c, h, repaired, lateCrashes)
	for _, crash := range lateCrashes {
		t.Run(crash.step, func(t *testing.T) {
			for _, victim := range repaired {
				if err := crash.die(t, c, writes[crashPath(crash, victim)]); err != nil {
					t.Errorf("the %s before %s: %v", victim.Kind, crash.step, err)
				}
				restart(t, c)
				settled(t, c, h) // or else the repair of this one would die first next time
				crash.check(t, c, victim)
			}
		})
	}
}

// prepare makes what the writes need that will meet the crashes, and returns
// them by path.
func prepare(t *testing.T, c *cluster.Cluster, h *workload.History, victims []workload.Victim, crashes []crash) map[string]func(context.Context) error {
	t.Helper()
	writes := make(map[string]func(context.Context) error)
	to := workload.Crowd{Cluster: c, VirtualStorage: vs, History: h, Dir: t.TempDir()}
	for _, crash := range crashes {
		for _, victim := range victims {
			path := crashPath(crash, victim)
			write, err := victim.Prepare(t.Context(), c.Instances[0], to, path)
			must.Succeed(t, err)
			writes[path] = write
		}
	}
	settled(t, c, h)
	return writes
}

func crashPath(c crash, v workload.Victim) string {
	return fmt.Sprintf("crash/%s/%s.git", c.step, v.Kind)
}

// die has the instance kill itself while it serves a write, or afterwards, and
// returns how the write ended.
func (c crash) die(t *testing.T, in *cluster.Cluster, write func(context.Context) error) error {
	t.Helper()
	must.Succeed(t, in.Instances[0].Kill())
	restart(t, in, "PRAEFECT_FAILPOINT="+c.step)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	writing, done := context.WithTimeout(ctx, briefLimit)
	defer done()
	err := write(writing)
	end, ok := errors.AsType[*cluster.ExitError](in.Instances[0].Wait(ctx))
	if !ok {
		t.Fatalf("the instance did not die at %s", c.step)
	}
	if status, ok := end.State.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		t.Fatalf("the instance died otherwise than at %s: %v", c.step, end)
	}
	return err
}

// check looks on each storage at what became of a write.
func (c crash) check(t *testing.T, in *cluster.Cluster, v workload.Victim) {
	t.Helper()
	if err := v.Check(t.Context(), in.Storages, crashPath(c, v), c.effect); err != nil {
		t.Errorf("after a crash at %s: %v", c.step, err)
	}
}
