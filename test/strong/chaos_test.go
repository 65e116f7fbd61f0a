package strong

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"praefect/test/cluster"
	"praefect/test/scenario"
	"praefect/test/workload"
)

// TestChaos_randomKillsUnderLoad kills and stops one instance and one storage at a
// time, again and again, while clients write and read at all instances.
func TestChaos_randomKillsUnderLoad(t *testing.T) {
	t.Parallel()
	seed, seconds := workload.FromEnv(t, "STRONG_SEED", 1), workload.FromEnv(t, "STRONG_SECONDS", 8)
	t.Logf("STRONG_SEED=%d STRONG_SECONDS=%d", seed, seconds)
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
	reigns := []*reign{
		{of: instances, random: rand.New(rand.NewPCG(seed, 1)), away: 700 * time.Millisecond, every: 1800 * time.Millisecond},
		{of: storages, random: rand.New(rand.NewPCG(seed, 2)), away: 2500 * time.Millisecond, every: 1800 * time.Millisecond},
	}
	var all sync.WaitGroup
	for _, r := range reigns {
		all.Go(func() { r.run(ctx) })
	}
	all.Wait()
	for _, r := range reigns {
		scenario.Must(t, r.fault)
		if r.kills == 0 {
			t.Errorf("nothing was killed of %d processes", len(r.of))
		}
	}
	w.lap(t, "instances: %d kills, %d stops; storages: %d kills, %d stops", reigns[0].kills, reigns[0].stops, reigns[1].kills, reigns[1].stops)
	scenario.Must(t, w.WaitReady(t.Context()))
	l.goesOn(t, some)
	l.check(t)
	if want := int(seconds) * 2; l.writes() < want {
		t.Errorf("%d writes were acknowledged, want at least %d", l.writes(), want)
	}
}

// reign kills or stops some processes, one at a time.
type reign struct {
	of          []*cluster.Process
	random      *rand.Rand
	away, every time.Duration // at most

	kills, stops int
	fault        error
}

// run goes on until ctx ends; then all run again. Each has its turn in each round, in an
// order by chance: two are killed, and the next is stopped.
func (r *reign) run(ctx context.Context) {
	for {
		for _, n := range r.random.Perm(len(r.of)) {
			if workload.Pass(ctx, r.some(r.every)) != nil || r.fault != nil {
				return
			}
			away := r.some(r.away)
			if p := r.of[n]; (r.kills+r.stops)%3 == 2 {
				r.stops++
				r.fault = errors.Join(p.Pause(), workload.Pass(context.WithoutCancel(ctx), away), p.Resume())
			} else {
				r.kills++
				r.fault = errors.Join(p.Kill(), workload.Pass(context.WithoutCancel(ctx), away), p.Start())
			}
		}
	}
}

// some is a time by chance, at least a fifth of the longest.
func (r *reign) some(longest time.Duration) time.Duration {
	return longest/5 + time.Duration(r.random.Int64N(int64(longest*4/5)))
}
