package partition

import (
	"context"
	"errors"
	"testing"

	"praefect/test/cluster"
	"praefect/test/must"
	"praefect/test/scenario"
)

// fillDisk leaves no space for the leader's log: the instance ends, and begins again
// when there is space.
func fillDisk(t *testing.T, w *harness, l *load) {
	i := scenario.Leader(t, w.c)
	disk := w.disks[i.Label()]
	must.Succeed(t, disk.Fill())
	for i.Running() { // a write or two may find space that the log had before
		l.goesOn(t, scenario.Others(w.c, i)...)
	}
	w.ends(t, i)
	l.goesOn(t, scenario.Others(w.c, i)...)
	must.Succeed(t, disk.Free())
	must.Succeed(t, i.Start())
}

// hangDisk lets the leader's log hang. The process cannot end before the disk
// answers, but the others replace it as soon as there is something to write: the
// intents of busy repositories linger, so that their writes need no log for a while.
func hangDisk(t *testing.T, w *harness, l *load) {
	i := scenario.Leader(t, w.c)
	disk := w.disks[i.Label()]
	must.Succeed(t, disk.Freeze(t.Context()))
	l.goesOn(t, scenario.Others(w.c, i)...)
	w.replaced(t, i)
	must.Succeed(t, disk.Thaw(t.Context()))
	w.ends(t, i)
	must.Succeed(t, i.Start())
}

// ends waits for the end of an instance that takes itself out.
func (w *harness) ends(t *testing.T, i *cluster.Instance) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), scenario.WaitLimit)
	defer cancel()
	err := i.Wait(ctx)
	if _, ended := errors.AsType[*cluster.ExitError](err); !ended {
		t.Fatalf("the end of %s: %v, want one with an error", i.Label(), err)
	}
}
