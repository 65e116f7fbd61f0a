package membership

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"praefect/test/cluster"
	"praefect/test/must"
	"praefect/test/scenario"
	"praefect/test/workload"
)

const (
	vs = "default"
	// repositories is how many there are; the first ones are for registers.
	repositories, registered = 19, 3
	// settleLimit bounds the time until nothing is left to repair, on a busy machine.
	settleLimit = 3 * time.Minute
)

// impatient makes what takes minutes in production take seconds. Nothing that
// detects, decides or holds is other than it is without settings.
const impatient = `
drain_wait = "1s"
[consistency]
mode = 'eventual'
intent_linger = "300ms"
write_timeout = "15s"
[replication]
parallel_storage_processing_workers = 4
copy_timeout = "5s"
pause_budget = "2s"
retry_min = "100ms"
retry_max = "1s"
attempts = 1000
[reconciliation]
scheduling_interval = "1s"
`

// programs are those of this package's tests. Only TestMain sets it.
var programs cluster.Binaries

func TestMain(m *testing.M) { os.Exit(cluster.Main(m, &programs)) }

// harness is a cluster with clients at work.
type harness struct {
	t         *testing.T
	ctx       context.Context
	c         *cluster.Cluster
	paths     []string
	traffic   *workload.Traffic
	registers *workload.Registers
}

// begin starts a cluster and clients.
func begin(t *testing.T, options cluster.Options) *harness {
	t.Helper()
	const limit = 8 * time.Minute // of a whole test
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	seeds, err := workload.NewSeeds(ctx, t.TempDir(), repositories)
	must.Succeed(t, err)
	options.Binaries, options.Disk, options.Settings = programs, seeds.Disk, impatient
	w := &harness{t: t, ctx: ctx, c: cluster.Run(t, options), paths: seeds.Paths()}
	w.converge()
	w.traffic, err = workload.Start(ctx, w.c, vs, w.paths[registered:], workload.Config{
		Writers: 4, Readers: 1, WriteEvery: 200 * time.Millisecond, ReadEvery: 200 * time.Millisecond,
	})
	must.Succeed(t, err)
	t.Cleanup(w.traffic.Stop)
	w.registers, err = workload.StartRegisters(ctx, w.c, workload.RegistersConfig{
		VirtualStorage: vs, Paths: w.paths[:registered], Values: seeds.Values(), Every: 150 * time.Millisecond,
	})
	must.Succeed(t, err)
	t.Cleanup(w.registers.Stop)
	w.getsOn("before anything happened")
	return w
}

// must fails the test if a step of it did not succeed.
func (w *harness) must(what string, err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatalf("%s: %v", what, err)
	}
}

// getsOn wants more writes and sets to be acknowledged soon.
func (w *harness) getsOn(when string) {
	w.t.Helper()
	const more = 5
	began, write, set := time.Now(), w.traffic.Acknowledged(), w.registers.Sets()
	w.eventually("clients to get on "+when, func() error {
		if writes, sets := w.traffic.Acknowledged()-write, w.registers.Sets()-set; writes < more || sets < more {
			return fmt.Errorf("only %d writes and %d sets", writes, sets)
		}
		return nil
	})
	w.t.Logf("clients got on %s after %v", when, time.Since(began).Round(time.Millisecond))
}

// settled stops the clients and checks the whole state.
func (w *harness) settled() {
	w.t.Helper()
	w.traffic.Stop()
	w.registers.Stop()
	f := w.traffic.Figures(workload.Window{})
	w.t.Logf("%d writes, %d reads, %d sets, %d readings; %d writes and %d reads failed, such as:\n%s", f.Writes, f.Reads,
		w.registers.Sets(), w.registers.Reads(), f.WritesFailed, f.ReadsFailed, strings.Join(f.Faults[:min(5, len(f.Faults))], "\n"))
	w.converge()
	if err := w.traffic.Verify(w.ctx); err != nil {
		w.t.Error(err)
	}
	if err := w.registers.Check(); err != nil {
		w.t.Error(err)
	}
}

func (w *harness) converge() {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, settleLimit)
	defer cancel()
	w.must("converge", w.c.WaitConverged(ctx))
}

// eventually waits until attempt returns nil.
func (w *harness) eventually(what string, attempt func() error) {
	w.t.Helper()
	scenario.Eventually(w.t, what, func(context.Context) error { return attempt() })
}
