package partition

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"praefect/test/cluster"
	"praefect/test/must"
	"praefect/test/netns"
	"praefect/test/scenario"
	"praefect/test/workload"
)

const vs = "default"

// settings make repairs and returns take seconds instead of minutes, so that many
// faults fit into one test. What detects and decides is as without settings:
// the length of a lease, how long a storage may be silent, who is asked. A disk that hangs must
// be replaced sooner than test clusters do it otherwise.
const settings = `
drain_wait = "1s"
[raft]
disk_timeout = "2s"
[failover]
return_after = "1s"
return_after_max = "2s"
warm_up = "1s"
[consistency]
mode = 'eventual'
write_timeout = "3s"
queue_timeout = "2s"
intent_linger = "300ms"
` + workload.EagerRepair

const (
	// operationLimit bounds one operation of a client; what is in doubt is settled only
	// when it is over. It is longer than an instance waits for a lease.
	operationLimit = 3 * time.Second
	// settleLimit bounds the time until nothing is left to repair.
	settleLimit = 2 * time.Minute
	// lease is for how long at most an instance that is cut off may acknowledge writes.
	lease = time.Second
	// lasting is how long a fault stays when what we wait for has happened.
	lasting = time.Second
)

// Repositories, by what clients do with them.
const (
	busy  = 3  // two writers each
	spare = 20 // written to now and then
)

// harness is a cluster on a network that can be hurt.
type harness struct {
	c       *cluster.Cluster
	testbed *netns.Testbed
	disks   map[string]*netns.Disk // of the instances' Raft, by label
	random  *rand.Rand
	paths   []string
	epoch   uint64 // highest that was seen
}

func newHarness(t *testing.T, random *rand.Rand) *harness {
	t.Helper()
	if err := netns.Missing(); err != nil && os.Getenv("CI") != "" {
		t.Fatal(err)
	}
	w := &harness{testbed: netns.Run(t), disks: make(map[string]*netns.Disk), random: random}
	seeds, err := workload.NewSeeds(t.Context(), t.TempDir(), busy+spare)
	must.Succeed(t, err)
	w.paths = seeds.Paths()
	mounts := t.TempDir()
	for n := range 3 {
		const size = 64 << 20
		label := fmt.Sprintf("praefect-%d", n+1)
		disk, err := netns.NewFreezableDisk(t.Context(), filepath.Join(mounts, label), size)
		w.disks[label] = disk.Run(t, err)
	}
	options := cluster.Options{
		Binaries: programs, Instances: 3, Balancer: true, Settings: settings, Place: w.testbed.Place, Disk: seeds.Disk,
		RaftDir: func(label string) string { return w.disks[label].Dir },
	}
	w.c = cluster.Run(t, options)
	// Before the cluster is stopped: nothing ends on a disk that hangs.
	t.Cleanup(func() {
		for _, disk := range w.disks {
			if err := disk.Thaw(context.Background()); err != nil {
				t.Error(err)
			}
		}
	})
	w.settle(t)
	return w
}

// settle waits until everything runs and nothing is left to repair.
func (w *harness) settle(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), settleLimit)
	defer cancel()
	must.Succeed(t, w.c.WaitReady(ctx))
	must.Succeed(t, w.c.WaitConverged(ctx))
}

// heal ends every fault of the network.
func (w *harness) heal(t *testing.T) {
	t.Helper()
	must.Succeed(t, w.testbed.Heal(t.Context()))
}

// anyOf is one of them, by chance.
func anyOf[T any](w *harness, all []T) T { return all[w.random.IntN(len(all))] }

// eventually waits until attempt, which has a moment each time, returns nil.
func (w *harness) eventually(t *testing.T, what string, attempt func(context.Context) error) {
	t.Helper()
	const moment = 5 * time.Second // as long as one write may take, and a bit
	scenario.Eventually(t, what, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, moment)
		defer cancel()
		return attempt(ctx)
	})
}

// last lets a fault last for a time.
func last(t *testing.T, d time.Duration) {
	t.Helper()
	must.Succeed(t, workload.Pass(t.Context(), d))
}
