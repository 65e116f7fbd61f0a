package e2e

import (
	"context"
	"path/filepath"
	"testing"

	"praefect/test/cluster"
	"praefect/test/netns"
)

// The instances whose replicated state lies on a disk of its own.
const (
	onSmallDisk = "praefect-1"
	onSlowDisk  = "praefect-2"
)

// TestLogStore_thatFailsOrHangsTakesItsInstanceOut has each fault happen to the
// leader: the library would keep a hung one for ever.
func TestLogStore_thatFailsOrHangsTakesItsInstanceOut(t *testing.T) {
	lab := netns.Run(t)
	// The mounts outlive the cluster, whose own directory is removed with it.
	home := t.TempDir()
	small, err := netns.NewDisk(t.Context(), filepath.Join(home, "small"), 8<<20)
	small.Run(t, err)
	slow, err := netns.NewFreezableDisk(t.Context(), filepath.Join(home, "slow"), 64<<20)
	slow.Run(t, err)
	w := begin(t, lab, cluster.Options{RaftDir: func(label string) string {
		return map[string]string{onSmallDisk: small.Dir, onSlowDisk: slow.Dir}[label]
	}})

	full := w.instance(onSmallDisk)
	w.lead(full)
	w.during("the leader's disk is full", 0, signal(small.Fill), func(ctx context.Context) error {
		w.endsBadly(full)
		if err := small.Free(); err != nil {
			return err
		}
		return full.Start()
	})

	hung := w.instance(onSlowDisk)
	w.lead(hung)
	w.during("the leader's disk hangs", 0, slow.Freeze, func(ctx context.Context) error {
		if err := slow.Thaw(ctx); err != nil {
			return err
		}
		w.endsBadly(hung)
		return hung.Start()
	})
	w.settled()
}

// endsBadly waits for the end of an instance that gives up by itself.
func (w *world) endsBadly(i *cluster.Instance) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, progressLimit)
	defer cancel()
	if err := i.Wait(ctx); err == nil || ctx.Err() != nil {
		w.t.Fatalf("%s ended with %v, want a failure that names the disk", i.Label(), err)
	}
}

func (w *world) instance(label string) *cluster.Instance {
	w.t.Helper()
	for _, i := range w.c.Instances {
		if i.Label() == label {
			return i
		}
	}
	w.t.Fatalf("there is no instance %s", label)
	return nil
}
