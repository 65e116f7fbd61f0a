package votes

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"praefect/test/cluster"
	"praefect/test/must"
	"praefect/test/scenario"
	"praefect/test/workload"
)

// load is clients of all instances at work: some commit to branches of their own,
// some set and read references that others set and read too, some push with git.
type load struct {
	w         *harness
	traffic   *workload.Traffic
	registers *workload.Registers
	pushers   *workload.Workers

	mu     sync.Mutex
	pushes int // acknowledged; guarded by mu
}

// repositories, by what clients do with them.
const (
	committed  = 6
	registered = 3
)

// seeds are repositories for a load.
func seeds(t *testing.T) *workload.Seeds {
	t.Helper()
	s, err := workload.NewSeeds(t.Context(), t.TempDir(), committed+registered)
	must.Succeed(t, err)
	return s
}

// load lets clients begin.
func (w *harness) load(t *testing.T, seeds *workload.Seeds) *load {
	t.Helper()
	const pushed = "pushed/by-two.git"
	w.make(t, pushed)
	l := &load{w: w, pushers: workload.NewWorkers()}
	var err error
	paths := seeds.Paths()
	l.registers, err = workload.StartRegisters(t.Context(), w.Cluster, workload.RegistersConfig{
		VirtualStorage: vs, Paths: paths[committed:], Values: seeds.Values(), Every: 100 * time.Millisecond,
	})
	must.Succeed(t, err)
	t.Cleanup(l.registers.Stop)
	l.traffic, err = workload.Start(t.Context(), w.Cluster, vs, paths[:committed], workload.Config{
		Writers: 4, Readers: 1, Homes: w.Instances, WriteEvery: 150 * time.Millisecond, Limit: operationLimit, Reserve: 1,
	})
	must.Succeed(t, err)
	t.Cleanup(l.traffic.Stop)
	l.traffic.Rush() // repositories with a storage that is behind are written to as well
	for n, through := range w.Instances[:2] {
		l.pusher(t, pushed, fmt.Sprintf("pusher-%d", n), through)
	}
	t.Cleanup(l.end)
	return l
}

// pusher pushes to a branch of its own with git.
func (l *load) pusher(t *testing.T, path, branch string, through *cluster.Instance) {
	t.Helper()
	p := workload.At(vs, path)
	checkout, err := workload.Clone(t.Context(), l.w.Cluster, through.URL(vs, path), filepath.Join(t.TempDir(), branch))
	must.Succeed(t, err)
	l.w.history.Inherits(p, branch, "first")
	l.pushers.Start(0, 500*time.Millisecond, func(n int) {
		// Not ended by the end of the load: a push that is given up is in doubt.
		ctx, cancel := context.WithTimeout(context.Background(), operationLimit)
		defer cancel()
		subject := fmt.Sprintf("%s-%d", branch, n)
		_, err := checkout.Push(ctx, through.URL(vs, path), branch, subject)
		l.w.history.Commit(p, branch, subject, err)
		if err == nil {
			l.mu.Lock()
			l.pushes++
			l.mu.Unlock()
		}
	})
}

// end lets every client finish what it is doing.
func (l *load) end() {
	l.traffic.Stop()
	l.registers.Stop()
	l.pushers.Stop()
}

// writes is how many were acknowledged so far.
func (l *load) writes() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.traffic.Acknowledged() + l.registers.Sets() + l.pushes
}

// goesOn waits for so many more acknowledged writes.
func (l *load) goesOn(t *testing.T, more int) {
	t.Helper()
	want := l.writes() + more
	scenario.Eventually(t, "writes are acknowledged", func(context.Context) error {
		if got := l.writes(); got < want {
			return fmt.Errorf("%d of %d", more-(want-got), more)
		}
		return nil
	})
}

// check ends the load and wants all that was acknowledged to be there, everywhere,
// and no read to have been stale.
func (l *load) check(t *testing.T) {
	t.Helper()
	l.end()
	l.w.settled(t)
	must.Succeed(t, l.traffic.Verify(t.Context()))
	must.Succeed(t, l.registers.Check())
	l.w.lap(t, "repaired and checked: %d writes were acknowledged (%d of commits, %d of references, %d of pushes), %d reads of references were answered",
		l.writes(), l.traffic.Acknowledged(), l.registers.Sets(), l.pushes, l.registers.Reads())
}
