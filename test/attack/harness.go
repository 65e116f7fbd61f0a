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
	c       *cluster.Cluster
	seeds   *workload.Seeds
	traffic *workload.Traffic
	rest    cost // of an instance before the first attack, the highest of the three
	victim  *cluster.Instance
}

// start starts the cluster.
func start(ctx context.Context, binaries cluster.Binaries, seeds *workload.Seeds, keep string) (*harness, error) {
	dir, err := os.MkdirTemp("", "attack-tls-")
	if err != nil {
		return nil, fmt.Errorf("make a directory: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }() // the instances have read it
	certificate, key := filepath.Join(dir, "server.crt"), filepath.Join(dir, "server.key")
	if err := writeCertificate(certificate, key); err != nil {
		return nil, err
	}
	c, err := cluster.Start(ctx, cluster.Options{
		Binaries: binaries, Dir: keep, Instances: 3, Disk: seeds.Disk, Settings: fmt.Sprintf(tuning, certificate, key),
		VirtualStorages: []cluster.VirtualStorage{cluster.Numbered(virtualStorage, 3), {Name: hostile, Storages: []string{"hostile-1"}}},
	})
	if err != nil {
		return nil, err
	}
	return &harness{c: c, seeds: seeds}, nil
}

// work lets clients begin.
func (w *harness) work(ctx context.Context) error {
	traffic, err := workload.Start(ctx, w.c, virtualStorage, w.seeds.Paths()[:writers], workload.Config{
		Writers: writers, Readers: readers, WriteEvery: 400 * time.Millisecond, ReadEvery: 100 * time.Millisecond,
		Homes: w.c.Instances, Own: w.seeds.Values(),
	})
	if err != nil {
		return fmt.Errorf("let clients begin: %w", err)
	}
	w.traffic = traffic
	return nil
}

// warmUp lets clients work for a while, and notes the cost.
func (w *harness) warmUp(ctx context.Context) error {
	if err := w.work(ctx); err != nil {
		return err
	}
	watch := w.watch(ctx, w.c.Instances)
	wait(ctx, 10*time.Second)
	w.traffic.Stop()
	var err error
	w.rest, err = watch.end()
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
func (w *harness) one(ctx context.Context, a attack) (report, error) {
	ctx, cancel := context.WithTimeout(ctx, runLimit)
	defer cancel()
	if err := w.c.WaitReady(ctx); err != nil {
		return report{}, err
	}
	var err error
	if w.victim, err = w.c.Leader(ctx); err != nil {
		return report{}, err
	}
	attacked, hit := []*cluster.Instance{w.victim}, w.victim.Label()
	if a.all {
		attacked, hit = w.c.Instances, ""
	}
	if err := w.work(ctx); err != nil {
		return report{}, err
	}
	defer func() { w.traffic.Stop() }()
	wait(ctx, settle)
	before, err := w.term(ctx)
	if err != nil {
		return report{}, err
	}
	watch, began := w.watch(ctx, attacked), time.Now()
	bounded, end := context.WithTimeout(ctx, a.bound())
	failure := a.run(bounded, w)
	if failure != nil && errors.Is(failure, bounded.Err()) {
		failure = nil // it lasts as long as it may
	}
	end()
	ended := time.Now()
	most, err := watch.end()
	if err != nil {
		return report{}, err
	}
	r := report{name: a.name, most: most}
	if failure != nil {
		r.faults = append(r.faults, failure.Error())
	}
	for {
		if r.after, err = highest(ctx, attacked); err != nil {
			return r, err
		}
		if r.back = time.Since(ended); r.after.rss <= w.rest.rss+memorySlack || r.back > memoryBack {
			break
		}
		wait(ctx, 500*time.Millisecond)
	}
	if r.back > memoryBack {
		r.faults = append(r.faults, fmt.Sprintf("a minute later an instance has %d MB, and had %d MB before the first attack", r.after.rss>>20, w.rest.rss>>20))
	}
	wait(ctx, settle)
	after, err := w.term(ctx)
	if err != nil {
		return r, err
	}
	if r.terms = after - before; r.terms > 0 {
		r.faults = append(r.faults, "leadership was lost")
	}
	w.traffic.Stop()
	f := w.traffic.Figures(workload.Window{From: began, Hit: hit})
	r.reads, r.failed, r.writes = f.Reads, f.ReadsFailed, f.WritesFailed
	if r.failed > 0 {
		r.faults = append(r.faults, fmt.Sprintf("reads failed at instances that were not attacked, such as %s", f.Faults[0]))
	}
	if r.reads == 0 {
		r.faults = append(r.faults, "no read succeeded: the clients were not at work")
	}
	return r, nil
}

// term is the present term of Raft.
func (w *harness) term(ctx context.Context) (uint64, error) {
	var faults []error
	for _, i := range w.c.Instances {
		answer, err := i.Admin().RaftStatus(ctx)
		if err == nil {
			return answer.Term, nil
		}
		faults = append(faults, err)
	}
	return 0, fmt.Errorf("ask for the term: %w", errors.Join(faults...))
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

// wait pauses, at most until ctx ends.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
