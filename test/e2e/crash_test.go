package e2e

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	"praefect/test/cluster"
)

// effect is what must have become of a write in the end.
type effect int

const (
	everywhere  effect = iota
	whollyOrNot        // on every storage or on none
	nowhere
)

// crash is a step at which the instance dies.
type crash struct {
	step   string
	effect effect
}

// crashes are those at which a write that is under way gets no answer.
var crashes = []crash{
	{"after-wrote", nowhere},
	{"after-forward", whollyOrNot},
	{"after-success", everywhere},
	{"after-enqueue", everywhere},
	{"before-status", everywhere},
}

// lateCrashes are those that a write comes by after its answer.
var lateCrashes = []crash{
	{"during-close", everywhere},
	{"repair-after-open", everywhere},
	{"repair-before-verdict", everywhere},
	{"repair-after-verdict", everywhere},
}

// victim is a write during which, or after which, the instance dies.
type victim struct {
	kind string
	// prepare makes what the write needs and returns the write, which tells the
	// history how it ended.
	prepare func(t *testing.T, c *cluster.Cluster, h *history, path string) func(context.Context) error
	// done tells on one storage whether the write had its effect.
	done func(ctx context.Context, s *cluster.Storage, path string) (bool, error)
}

var victims = []victim{
	{"push", preparePush, branchHas("pushed")},
	{"commit", prepareCommit, branchHas("committed")},
	{"create", prepareCreate, exists},
	{"remove", prepareRemove, func(ctx context.Context, s *cluster.Storage, path string) (bool, error) {
		there, err := exists(ctx, s, path)
		return !there, err
	}},
}

// TestCrash_atEveryStepOfEveryWrite kills the instance at each step of each kind
// of write. Each start but the last finds what all the crashes before have left.
func TestCrash_atEveryStepOfEveryWrite(t *testing.T) {
	t.Parallel()
	c := start(t, cluster.Options{Settings: impatient})
	h := newHistory()
	writes := prepare(t, c, h, victims, crashes)
	for _, crash := range crashes {
		for _, victim := range victims {
			if err := crash.die(t, c, writes[crashPath(crash, victim)]); err == nil {
				t.Errorf("the %s that met %s was acknowledged", victim.kind, crash.step)
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
	h := newHistory()
	repaired := []victim{victims[1], victims[3]} // by a copy and by a removal
	writes := prepare(t, c, h, repaired, lateCrashes)
	for _, crash := range lateCrashes {
		t.Run(crash.step, func(t *testing.T) {
			for _, victim := range repaired {
				if err := crash.die(t, c, writes[crashPath(crash, victim)]); err != nil {
					t.Errorf("the %s before %s: %v", victim.kind, crash.step, err)
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
func prepare(t *testing.T, c *cluster.Cluster, h *history, victims []victim, crashes []crash) map[string]func(context.Context) error {
	t.Helper()
	writes := make(map[string]func(context.Context) error)
	for _, crash := range crashes {
		for _, victim := range victims {
			path := crashPath(crash, victim)
			writes[path] = victim.prepare(t, c, h, path)
		}
	}
	settled(t, c, h)
	return writes
}

func crashPath(c crash, v victim) string { return fmt.Sprintf("crash/%s/%s.git", c.step, v.kind) }

// die has the instance kill itself while it serves a write, or afterwards, and
// returns how the write ended.
func (c crash) die(t *testing.T, in *cluster.Cluster, write func(context.Context) error) error {
	t.Helper()
	if err := in.Instances[0].Kill(); err != nil {
		t.Fatal(err)
	}
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
func (c crash) check(t *testing.T, in *cluster.Cluster, v victim) {
	t.Helper()
	path := crashPath(c, v)
	there := 0
	for _, s := range in.Storages {
		done, err := v.done(t.Context(), s, path)
		if err != nil {
			t.Fatal(err)
		}
		if done {
			there++
		}
	}
	all := len(in.Storages)
	ok := there == 0 || there == all
	switch c.effect {
	case everywhere:
		ok = there == all
	case nowhere:
		ok = there == 0
	}
	if !ok {
		t.Errorf("%s is in effect on %d of %d storages after a crash at %s", v.kind, there, all, c.step)
	}
}

func preparePush(t *testing.T, c *cluster.Cluster, h *history, path string) func(context.Context) error {
	made(t, clientOf(c, vs), h, path)
	w := clone(t, c, vs, path)
	return func(ctx context.Context) error {
		err := w.push(ctx, "main", "pushed")
		h.commit(place{vs, path}, "main", "pushed", err)
		return err
	}
}

func prepareCommit(t *testing.T, c *cluster.Cluster, h *history, path string) func(context.Context) error {
	made(t, clientOf(c, vs), h, path)
	return func(ctx context.Context) error {
		_, err := clientOf(c, vs).commit(ctx, path, "main", "committed")
		h.commit(place{vs, path}, "main", "committed", err)
		return err
	}
}

func prepareCreate(_ *testing.T, c *cluster.Cluster, h *history, path string) func(context.Context) error {
	return func(ctx context.Context) error {
		err := clientOf(c, vs).create(ctx, path)
		h.existence(place{vs, path}, true, err)
		return err
	}
}

func prepareRemove(t *testing.T, c *cluster.Cluster, h *history, path string) func(context.Context) error {
	made(t, clientOf(c, vs), h, path)
	return func(ctx context.Context) error {
		err := clientOf(c, vs).remove(ctx, path)
		h.existence(place{vs, path}, false, err)
		return err
	}
}
