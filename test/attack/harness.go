package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"praefect/test/cluster"
	"praefect/test/scenario"
	"praefect/test/workload"
)

const (
	virtualStorage = "default"
	// hostile is the virtual storage whose only storage attacks.
	hostile = "hostile"
	// writers and readers are clients at work, in turn at each instance.
	writers, readers = 3, 6
	// repositories is one for each writer, and the last one for attacks.
	repositories = writers + 1

	// warm is how long clients are at work before the cost of rest is taken.
	warm = 10 * time.Second
	// settle is how long clients are at work before an attack, and after it.
	settle = 2 * time.Second
	// memoryBack is how long an attacked instance has to have its memory back, and
	// memorySlack how much more than before the first attack it may keep.
	memoryBack, memorySlack = time.Minute, 64 << 20
	// runLimit bounds an attack with all that belongs to it.
	runLimit = 5 * time.Minute
)

// tuning has slow readers end while one looks, and a listener for TLS on any port.
const tuning = `
tls_listen_addr = "127.0.0.1:0"
[tls]
certificate_path = %q
key_path = %q
[limits]
send_stall_timeout = "5s"
[failover]
warm_up = "1s"
`

// harness is the cluster that is attacked.
type harness struct {
	c      *cluster.Cluster
	seeds  *workload.Seeds
	rest   cost // of an instance before the first attack, the highest of the three
	victim *cluster.Instance
}

// onCluster starts the cluster, hands it to use, and stops it.
func onCluster(ctx context.Context, ground *scenario.Ground, keep string, use func(*harness) error) error {
	certificate, key := filepath.Join(ground.Dir, "server.crt"), filepath.Join(ground.Dir, "server.key")
	if err := writeCertificate(certificate, key); err != nil {
		return err
	}
	return scenario.With(ctx, cluster.Options{
		Binaries: ground.Binaries, Dir: keep, Instances: 3, Disk: ground.Seeds.Disk, Settings: fmt.Sprintf(tuning, certificate, key),
		VirtualStorages: []cluster.VirtualStorage{cluster.Numbered(virtualStorage, 3), {Name: hostile, Storages: []string{"hostile-1"}}},
	}, filepath.Join("build", "attack.log"), func(c *cluster.Cluster) error { return use(&harness{c: c, seeds: ground.Seeds}) })
}

// play lets a fault happen while clients work.
func (w *harness) play(ctx context.Context, aim func(context.Context) (hit string, err error), fault func(context.Context) error) (scenario.Outcome, error) {
	return scenario.Play{
		Cluster: w.c, VirtualStorage: virtualStorage, Paths: w.seeds.Paths()[:writers], Steady: settle, Aim: aim, Fault: fault,
		Load: workload.Config{
			Writers: writers, Readers: readers, WriteEvery: 400 * time.Millisecond, ReadEvery: 100 * time.Millisecond,
			Homes: w.c.Instances, Own: w.seeds.Values(),
		},
	}.Run(ctx)
}

// warmUp lets clients work for a while, and notes the cost.
func (w *harness) warmUp(ctx context.Context) error {
	_, err := w.play(ctx, nil, func(ctx context.Context) (err error) {
		watch := w.watch(ctx, w.c.Instances)
		err = workload.Pass(ctx, warm)
		most, failed := watch.end()
		w.rest = most
		return errors.Join(err, failed)
	})
	return err
}

// report is the result of one attack.
type report struct {
	name   string
	most   cost
	terms  uint64 // that began
	reads  int    // that succeeded at the other instances
	failed int    // reads that did not
	writes int    // that failed there
	after  cost
	back   time.Duration // when memory was back
	faults []string
}

var heading = fmt.Sprintf("%-26s %10s %8s %6s %11s %16s %13s %20s", "attack", "goroutines", "RSS", "fds", "leadership", "reads failed", "writes failed", "memory after")

// String returns a line of the table.
func (r report) String() string {
	return fmt.Sprintf("%-26s %10d %5d MB %6d %11d %6d of %6d %13d %8d MB in %4.0f s", r.name, r.most.goroutines, r.most.rss>>20, r.most.files,
		r.terms, r.failed, r.failed+r.reads, r.writes, r.after.rss>>20, r.back.Seconds())
}

// one runs one attack against the leader, or against all three.
func (w *harness) one(ctx context.Context, a attack) (r report, err error) {
	ctx, cancel := context.WithTimeout(ctx, runLimit)
	defer cancel()
	r.name = a.name
	var before uint64
	var attacked []*cluster.Instance
	o, err := w.play(ctx, func(ctx context.Context) (hit string, err error) {
		if w.victim, err = w.c.Leader(ctx); err != nil {
			return "", err
		}
		attacked, hit = []*cluster.Instance{w.victim}, w.victim.Label()
		if a.all {
			attacked, hit = w.c.Instances, ""
		}
		before, err = scenario.Term(ctx, w.c)
		return hit, err
	}, func(ctx context.Context) error {
		if err := w.attacked(ctx, a, attacked, &r); err != nil {
			return err
		}
		after, err := scenario.Term(ctx, w.c)
		if r.terms = after - before; r.terms > 0 {
			r.faults = append(r.faults, "leadership was lost")
		}
		return err
	})
	if err != nil {
		return r, err
	}
	r.reads, r.failed, r.writes = o.Reads, o.ReadsFailed, o.WritesFailed
	if r.failed > 0 {
		r.faults = append(r.faults, fmt.Sprintf("reads failed at instances that were not attacked, such as %s", o.Faults[0]))
	}
	if r.reads == 0 {
		r.faults = append(r.faults, "no read succeeded: the clients were not at work")
	}
	return r, nil
}

// attacked attacks instances, waits until their memory is back, and reports the cost.
func (w *harness) attacked(ctx context.Context, a attack, instances []*cluster.Instance, r *report) (err error) {
	watch := w.watch(ctx, instances)
	bounded, end := context.WithTimeout(ctx, a.bound())
	failure := a.run(bounded, w)
	if failure != nil && !errors.Is(failure, bounded.Err()) { // else it lasts as long as it may
		r.faults = append(r.faults, failure.Error())
	}
	end()
	ended := time.Now()
	if r.most, err = watch.end(); err != nil {
		return err
	}
	for {
		if r.after, err = highest(ctx, instances); err != nil {
			return err
		}
		if r.back = time.Since(ended); r.after.rss <= w.rest.rss+memorySlack || r.back > memoryBack {
			break
		}
		if err := workload.Pass(ctx, 500*time.Millisecond); err != nil {
			return err
		}
	}
	if r.back > memoryBack {
		r.faults = append(r.faults, fmt.Sprintf("a minute later an instance has %d MB, and had %d MB before the first attack", r.after.rss>>20, w.rest.rss>>20))
	}
	return workload.Pass(ctx, settle)
}

// tlsAddr is where the instance takes TLS, which only its log says.
func tlsAddr(i *cluster.Instance) (string, error) {
	text, err := os.ReadFile(i.Log())
	if err != nil {
		return "", fmt.Errorf("read the log of %s: %w", i.Label(), err)
	}
	found := listening.FindAllSubmatch(text, -1)
	if len(found) == 0 {
		return "", fmt.Errorf("the log of %s names no listener for TLS", i.Label())
	}
	return string(found[len(found)-1][1]), nil
}

var listening = regexp.MustCompile(`(?m)^.*listening.*tls.*?(127\.0\.0\.1:[0-9]+).*$`)
