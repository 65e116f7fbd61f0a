package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"praefect/test/cluster"
	"praefect/test/netns"
	"praefect/test/workload"
)

const (
	vs = "default"
	// repositories is how many there are; the first ones are for registers.
	repositories, registered = 19, 3
	// settleLimit bounds the time until nothing is left to repair, on a busy machine.
	settleLimit = 3 * time.Minute
	// progressLimit bounds the time until clients get on again, whatever happened.
	progressLimit = time.Minute
)

// impatient makes what takes minutes in production take seconds. Nothing that
// detects, decides or holds is other than it is without settings.
const impatient = `
drain_wait = "1s"
[consistency]
mark_linger = "300ms"
write_timeout = "15s"
[replication]
parallel_storage_processing_workers = 4
copy_timeout = "5s"
hold_budget = "2s"
retry_min = "100ms"
retry_max = "1s"
attempts = 1000
[reconciliation]
scheduling_interval = "1s"
[failover]
return_after = "2s"
warm_up = "1s"
`

// programs are those of this package's tests. Only TestMain sets it.
var programs cluster.Binaries

func TestMain(m *testing.M) { os.Exit(cluster.Main(m, &programs)) }

// world is a cluster with clients at work.
type world struct {
	t         *testing.T
	ctx       context.Context
	c         *cluster.Cluster
	lab       *netns.Lab // nil if all run on the loopback address
	traffic   *workload.Traffic
	registers *workload.Registers
}

// begin starts a cluster, in namespaces if there is a lab, and clients.
func begin(t *testing.T, lab *netns.Lab, options cluster.Options) *world {
	t.Helper()
	const limit = 12 * time.Minute // of a whole test
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	seeds, err := workload.NewSeeds(ctx, t.TempDir(), repositories)
	if err != nil {
		t.Fatal(err)
	}
	options.Binaries, options.Disk, options.Settings = programs, seeds.Disk, impatient
	if options.Instances == 0 {
		options.Instances, options.Balancer = 3, true
	}
	if lab != nil {
		options.Place = lab.Place
	}
	if dir := os.Getenv("E2E_DIR"); dir != "" {
		options.Dir = filepath.Join(dir, t.Name())
	}
	w := &world{t: t, ctx: ctx, lab: lab, c: cluster.Run(t, options)}
	w.converge()
	paths := seeds.Paths()
	w.traffic, err = workload.Start(ctx, w.c, vs, paths[registered:], workload.Config{
		Writers: 4, Readers: 1, WriteEvery: 200 * time.Millisecond, ReadEvery: 200 * time.Millisecond, Reserve: 4,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.traffic.Stop)
	w.registers, err = workload.StartRegisters(ctx, w.c, workload.RegistersConfig{
		VirtualStorage: vs, Paths: paths[:registered], Values: seeds.Values(), Every: 150 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.registers.Stop)
	w.traffic.Rush() // in a test of what goes on, nothing is kept for later
	w.getsOn("before anything happened")
	return w
}

// must fails the test if a step of it did not succeed.
func (w *world) must(what string, err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatalf("%s: %v", what, err)
	}
}

// getsOn wants more writes and sets to be acknowledged soon.
func (w *world) getsOn(when string) {
	w.t.Helper()
	const more = 5
	began := time.Now()
	writes, sets := w.traffic.Acknowledged()+more, w.registers.Sets()+more
	w.eventually(progressLimit, "clients to get on "+when, func() error {
		if missing := max(0, writes-w.traffic.Acknowledged()) + max(0, sets-w.registers.Sets()); missing > 0 {
			return fmt.Errorf("%d writes are missing", missing)
		}
		return nil
	})
	w.t.Logf("clients got on %s after %v", when, time.Since(began).Round(time.Millisecond))
}

// during lets something happen, wants clients to get on while it lasts, for a while
// at least, and after it was mended.
func (w *world) during(what string, while time.Duration, happen, mend func(context.Context) error) {
	w.t.Helper()
	w.must(what, happen(w.ctx))
	until := time.Now().Add(while)
	w.getsOn("during: " + what)
	w.must(what, workload.Pass(w.ctx, time.Until(until)))
	w.must("mend: "+what, mend(w.ctx))
	w.getsOn("after: " + what)
}

// settled stops the clients and checks the whole state.
func (w *world) settled() {
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

func (w *world) converge() {
	w.t.Helper()
	began := time.Now()
	ctx, cancel := context.WithTimeout(w.ctx, settleLimit)
	defer cancel()
	w.must("converge", w.c.WaitConverged(ctx))
	w.t.Logf("nothing was left to repair after %v", time.Since(began).Round(time.Millisecond))
}

// eventually polls until attempt returns nil.
func (w *world) eventually(limit time.Duration, what string, attempt func() error) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, limit)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := attempt()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			w.t.Fatalf("wait for %s: %v: %v", what, context.Cause(ctx), err)
		case <-tick.C:
		}
	}
}

func (w *world) leader() *cluster.Instance {
	w.t.Helper()
	var leader *cluster.Instance
	w.eventually(progressLimit, "a leader", func() (err error) {
		leader, err = w.c.Leader(w.ctx)
		return err
	})
	return leader
}

// follower is an instance that does not lead.
func (w *world) follower() *cluster.Instance {
	w.t.Helper()
	leader := w.leader()
	for _, i := range w.c.Instances {
		if i != leader {
			return i
		}
	}
	w.t.Fatal("there is no follower")
	return nil
}

func (w *world) primary() *cluster.Storage {
	w.t.Helper()
	var primary *cluster.Storage
	w.eventually(progressLimit, "a primary", func() (err error) {
		primary, err = w.c.Primary(w.ctx, vs)
		return err
	})
	return primary
}

// lead makes an instance the leader.
func (w *world) lead(i *cluster.Instance) {
	w.t.Helper()
	w.eventually(progressLimit, i.Label()+" to lead", func() error {
		if leader, err := w.c.Leader(w.ctx); err == nil && leader == i {
			return nil
		}
		_, err := w.c.Operate(w.ctx, "raft", "transfer", i.Label())
		return err
	})
}

func restart(p interface{ Start(...string) error }) func(context.Context) error {
	return func(context.Context) error { return p.Start() }
}

// signal makes a step of something that is done to a process.
func signal(do func() error) func(context.Context) error {
	return func(context.Context) error { return do() }
}
