package votes

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"praefect/test/cluster"
	"praefect/test/must"
	"praefect/test/scenario"
	"praefect/test/workload"
)

// TestChaos_randomKillsUnderLoad kills and stops one instance and one storage at a
// time, again and again, while clients write and read at all instances.
func TestChaos_randomKillsUnderLoad(t *testing.T) {
	t.Parallel()
	seed, seconds := workload.FromEnv(t, "SUITE_SEED", 1), workload.FromEnv(t, "SUITE_SECONDS", 8)
	t.Logf("SUITE_SEED=%d SUITE_SECONDS=%d", seed, seconds)
	s := seeds(t)
	w := start(t, cluster.Options{Disk: s.Disk})
	l := w.load(t, s)
	l.goesOn(t, some)

	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(seconds)*time.Second)
	defer cancel()
	var instances, storages []*cluster.Process
	for _, i := range w.Instances {
		instances = append(instances, i.Process)
	}
	for _, s := range w.Storages {
		storages = append(storages, s.Process)
	}
	few := func(of []*cluster.Process, stream uint64, away time.Duration) *scenario.Nemesis {
		return &scenario.Nemesis{
			Of: of, Random: rand.New(rand.NewPCG(seed, stream)), Pauses: true,
			Between: [2]time.Duration{360 * time.Millisecond, 1800 * time.Millisecond}, Away: [2]time.Duration{away / 5, away},
		}
	}
	nemeses := []*scenario.Nemesis{few(instances, 1, 700*time.Millisecond), few(storages, 2, 2500*time.Millisecond)}
	faults := make([]error, len(nemeses))
	var all sync.WaitGroup
	for n, r := range nemeses {
		all.Go(func() { faults[n] = r.Run(ctx) })
	}
	all.Wait()
	must.Succeed(t, errors.Join(faults...))
	for _, r := range nemeses {
		if len(r.Kills) == 0 {
			t.Errorf("nothing was killed of %d processes", len(r.Of))
		}
	}
	w.lap(t, "instances: kills %v, %d stops; storages: kills %v, %d stops", nemeses[0].Kills, nemeses[0].Stops, nemeses[1].Kills, nemeses[1].Stops)
	must.Succeed(t, w.WaitReady(t.Context()))
	l.goesOn(t, some)
	l.check(t)
	if want := int(seconds) * 2; l.writes() < want {
		t.Errorf("%d writes were acknowledged, want at least %d", l.writes(), want)
	}
}
