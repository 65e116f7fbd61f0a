package scenario

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"praefect/test/cluster"
	"praefect/test/workload"
)

// Nemesis (the word of Jepsen) kills some processes, one at a time, again and again. Each has its turn in
// each round, in an order by chance.
type Nemesis struct {
	Of     []*cluster.Process
	Random *rand.Rand
	// Between and Away are the shortest and the longest time before a turn, and from the end of a
	// process to its start.
	Between, Away [2]time.Duration
	// Pauses has every third turn pause a process in place of a kill.
	Pauses bool
	// Back is called after a process was started again, within WaitLimit. Nil: no call.
	Back func(context.Context, *cluster.Process) error

	// Kills and Stops count the turns so far, the kills by the label of the process.
	Kills map[string]int
	Stops int
}

// Run goes on until ctx ends; then all processes run again.
func (n *Nemesis) Run(ctx context.Context) error {
	if n.Kills == nil {
		n.Kills = make(map[string]int)
	}
	for turn := 0; ; {
		for _, at := range n.Random.Perm(len(n.Of)) {
			if workload.Pass(ctx, n.some(n.Between)) != nil {
				return nil
			}
			turn++
			if err := n.one(context.WithoutCancel(ctx), n.Of[at], n.Pauses && turn%3 == 0); err != nil {
				return err
			}
		}
	}
}

// one has one process killed or paused for a while.
func (n *Nemesis) one(ctx context.Context, p *cluster.Process, pauses bool) error {
	end, begin := p.Kill, func() error { return p.Start() }
	if pauses {
		n.Stops++
		end, begin = p.Pause, p.Resume
	} else {
		n.Kills[p.Label()]++
	}
	if err := errors.Join(end(), workload.Pass(ctx, n.some(n.Away)), begin()); err != nil || n.Back == nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, WaitLimit)
	defer cancel()
	return n.Back(ctx, p)
}

// some is a time by chance between two others.
func (n *Nemesis) some(between [2]time.Duration) time.Duration {
	return between[0] + time.Duration(n.Random.Int64N(int64(between[1]-between[0])))
}
