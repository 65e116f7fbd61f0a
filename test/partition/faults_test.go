package partition

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"praefect/test/workload"
)

// fault is something that happens to a cluster at work, and is healed.
type fault struct {
	name string
	play func(t *testing.T, w *harness, l *load)
}

func faults() []fault {
	return []fault{
		{"kill -9 of the primary storage", killPrimary},
		{"SIGSTOP of the primary storage", stopPrimary},
		{"kill -9 of the leader's instance", killLeader},
		{"the leader's instance sleeps through a failover", sleepThroughFailover},
		{"rolling restart", restartAll},
		{"an instance is parted from its peers", partInstance},
		{"the leader's instance is cut off from all", isolateLeader},
		{"the leader is not heard", muteLeader},
		{"the leader hears nothing", deafenLeader},
		{"bridge", bridge},
		{"one instance loses the primary storage", losePrimaryAlone},
		{"two instances lose the primary storage", losePrimaryTogether},
		{"packets are lost between instances", losePackets},
		{"messages between instances are slow", delayMessages},
		{"the disk of the leader's Raft is full", fillDisk},
		{"the disk of the leader's Raft hangs", hangDisk},
		{"Postgres is down", stopPostgres},
		{"Postgres hangs", pausePostgres},
	}
}

// TestThreeInstances_surviveWhatFails lets one fault after the other happen to
// one cluster, in an order by chance.
func TestThreeInstances_surviveWhatFails(t *testing.T) {
	seed, seconds := workload.FromEnv(t, "SUITE_SEED", uint64(time.Now().UnixNano())), workload.FromEnv(t, "SUITE_SECONDS", 0)
	t.Logf("SUITE_SEED=%d SUITE_SECONDS=%d", seed, seconds)
	began := time.Now()
	random := rand.New(rand.NewPCG(seed, 0))
	w := newHarness(t, random)
	t.Logf("the cluster serves after %v", time.Since(began).Round(time.Millisecond))
	for round := 1; round == 1 || time.Since(began) < time.Duration(seconds)*time.Second; round++ {
		all := faults()
		random.Shuffle(len(all), func(a, b int) { all[a], all[b] = all[b], all[a] })
		for n, f := range all {
			done := t.Run(f.name, func(t *testing.T) { w.play(t, f, fmt.Sprintf("round-%d-%d", round, n)) })
			if !done {
				t.Fatalf("%d faults of round %d were not tried any more: the cluster is not whole", len(all)-n-1, round)
			}
		}
	}
}

// play lets a fault happen while clients are at work, and checks what is left.
func (w *harness) play(t *testing.T, f fault, name string) {
	began := time.Now()
	before := w.registers(t.Context(), t)
	l := startLoad(t, w, name)
	t.Logf("from %s", time.Now().Format(clock))
	f.play(t, w, l)
	t.Logf("healed at %s", time.Now().Format(clock))
	l.end()
	t.Log(l.summary())
	w.check(t, l, before)
	t.Logf("%v in all", time.Since(began).Round(100*time.Millisecond))
}
