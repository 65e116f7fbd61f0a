package faults

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"praefect/test/cluster"
	"praefect/test/must"
	"praefect/test/workload"
)

const (
	bulkSize = 160 << 20
	// flatMemory is what a push or a clone may add to the memory of the instance,
	// however large it is: windows, buffers, and garbage, of which 32 MiB may gather
	// before the first collection.
	flatMemory = 80 << 20
)

// TestBulk_streamsInFlatMemory pushes and clones much through the instance, then
// kills the storage in the middle of such a read and of a write.
func TestBulk_streamsInFlatMemory(t *testing.T) {
	c := start(t, cluster.Options{
		Settings:        strings.ReplaceAll(impatient, `"4s"`, `"60s"`),
		VirtualStorages: []cluster.VirtualStorage{cluster.Numbered(vs, 2)},
	})
	h, to, i := workload.NewHistory(), clientOf(c, vs), c.Instances[0]
	const path = "bulk.git"
	p := workload.At(vs, path)
	made(t, to, h, path)
	w := clone(t, c, vs, path)
	// Each step is measured alone.
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	git := func(args ...string) {
		t.Helper()
		if _, err := c.Git(ctx, w.Dir, args...); err != nil {
			t.Fatal(err)
		}
	}
	want := writeNoise(t, filepath.Join(w.Dir, "noise"))
	git("config", "core.compression", "0")
	git("config", "core.bigFileThreshold", "1m")
	git("add", "noise")

	idle := resident(t, i.PID(), "VmRSS")
	resetPeak(t, i.PID())
	err := w.push(ctx, "main", "noise")
	h.Commit(p, "main", "noise", err)
	must.Succeed(t, err)
	t.Logf("push of %d MiB: peak of the memory %d MiB, before %d MiB", bulkSize>>20, resident(t, i.PID(), "VmHWM")>>20, idle>>20)
	cloned := clone(t, c, vs, path)
	peak := resident(t, i.PID(), "VmHWM")
	t.Logf("and clone of it: peak %d MiB", peak>>20)
	if peak > idle+flatMemory {
		t.Errorf("the memory of the instance rose from %d to %d bytes", idle, peak)
	}
	if got := digest(t, filepath.Join(cloned.Dir, "noise")); !bytes.Equal(got, want) {
		t.Error("what was cloned differs from what was pushed")
	}
	settled(t, c, h)

	t.Run("storage gone in the middle", func(t *testing.T) { breakStreams(t, c, h, p) })
}

// breakStreams kills the primary in the middle of a long read and of a write,
// which both end with UNAVAILABLE, and leave nothing in the instance.
func breakStreams(t *testing.T, c *cluster.Cluster, h *workload.History, p workload.Place) {
	to, primary := clientOf(c, vs), c.Storages[0]
	idle := goroutines(t, c)
	ctx, cancel := context.WithTimeout(t.Context(), operationLimit)
	defer cancel()

	reading := metadata.AppendToOutgoingContext(ctx, "gitaly-route-repository-accessor-policy", "primary-only")
	read, err := gitalypb.NewBlobServiceClient(to.Conn).GetBlob(reading, &gitalypb.GetBlobRequest{
		Repository: to.Repository(p.Path), Oid: "refs/heads/main:noise", Limit: -1,
	})
	must.Succeed(t, err)
	if _, err := read.Recv(); err != nil {
		t.Fatal(err)
	}
	writing, end := context.WithTimeout(ctx, briefLimit)
	defer end()
	write, err := to.BeginCommit(writing, p.Path, "main", "broken")
	must.Succeed(t, err)
	eventually(t, time.Minute, func(ctx context.Context) error { return inFlight(ctx, c, 2) })

	must.Succeed(t, primary.Kill())
	if _, err = write.End(); status.Code(err) != codes.Unavailable {
		t.Errorf("the write ended with %v, want UNAVAILABLE", err)
	}
	h.Commit(p, "main", "broken", err)
	for err = error(nil); err == nil; {
		_, err = read.Recv()
	}
	if status.Code(err) != codes.Unavailable {
		t.Errorf("the read ended with %v, want UNAVAILABLE", err)
	}
	eventually(t, time.Minute, func(ctx context.Context) error { return inFlight(ctx, c, 0) })

	must.Succeed(t, primary.Start())
	settled(t, c, h)
	const chance = 10 // of what else the instance is doing
	eventually(t, time.Minute, func(context.Context) error {
		if now := goroutines(t, c); now > idle+chance {
			return fmt.Errorf("the instance has %v goroutines, and had %v", now, idle)
		}
		return nil
	})
}

// inFlight wants so many requests of the Gitaly API to be under way.
func inFlight(ctx context.Context, c *cluster.Cluster, want int) error {
	metrics, err := c.Instances[0].Metrics(ctx)
	if err != nil {
		return err
	}
	got := 0
	for series, value := range metrics {
		if !strings.Contains(series, `grpc_service="gitaly.`) {
			continue
		}
		switch name, _, _ := strings.Cut(series, "{"); name {
		case "grpc_server_started_total":
			got += int(value)
		case "grpc_server_handled_total":
			got -= int(value)
		}
	}
	if got != want {
		return fmt.Errorf("%d requests are under way, want %d", got, want)
	}
	return nil
}

func goroutines(t *testing.T, c *cluster.Cluster) float64 {
	t.Helper()
	metrics, err := c.Instances[0].Metrics(t.Context())
	must.Succeed(t, err)
	n, found := metrics["go_goroutines"]
	if !found {
		t.Fatal("no metric go_goroutines")
	}
	return n
}

// writeNoise writes a file that does not compress, and returns its digest.
func writeNoise(t *testing.T, name string) []byte {
	t.Helper()
	file, err := os.Create(name)
	must.Succeed(t, err)
	sum := sha256.New()
	_, err = io.CopyN(io.MultiWriter(file, sum), rand.NewChaCha8([32]byte{1}), bulkSize)
	must.Succeed(t, errors.Join(err, file.Close()))
	return sum.Sum(nil)
}

func digest(t *testing.T, name string) []byte {
	t.Helper()
	file, err := os.Open(name)
	must.Succeed(t, err)
	sum := sha256.New()
	_, err = io.Copy(sum, file)
	must.Succeed(t, errors.Join(err, file.Close()))
	return sum.Sum(nil)
}

// resident is a size in the kernel's account of a process, in bytes.
func resident(t *testing.T, pid int, name string) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	must.Succeed(t, err)
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			kilobytes, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")))
			must.Succeed(t, err)
			return kilobytes << 10
		}
	}
	t.Fatalf("the kernel does not tell %s", name)
	return 0
}

// resetPeak has the kernel forget how large a process was.
func resetPeak(t *testing.T, pid int) {
	t.Helper()
	const peak = "5"
	must.Succeed(t, os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte(peak), 0))
}
