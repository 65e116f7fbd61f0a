package cluster

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"praefect/test/must"
	"praefect/test/postgres"
)

// limited bounds what a test waits for.
func limited(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// work is a local repository of a test.
type work struct {
	t   *testing.T
	c   *Cluster
	dir string
}

func newWork(t *testing.T, c *Cluster, url string) work {
	t.Helper()
	w := work{t, c, t.TempDir()}
	w.git("init", "--quiet")
	w.git("remote", "add", "origin", url)
	return w
}

func (w work) git(args ...string) string {
	w.t.Helper()
	out, err := w.c.Git(limited(w.t), w.dir, args...)
	must.Succeed(w.t, err)
	return out
}

// push commits a file and pushes it.
func (w work) push(name string) {
	w.t.Helper()
	must.Succeed(w.t, os.WriteFile(filepath.Join(w.dir, name), []byte(name), 0o644))
	w.git("add", name)
	w.git("commit", "--quiet", "--message=Add "+name)
	w.git("push", "--quiet", "origin", "main")
}

// equal waits until nothing is left to repair, and wants the replicas of a
// repository to have the work's head.
func (w work) equal(virtualStorage, path string) {
	w.t.Helper()
	ctx := limited(w.t)
	must.Succeed(w.t, w.c.WaitConverged(ctx))
	head := w.git("rev-parse", "HEAD")
	for _, s := range w.c.StoragesOf(virtualStorage) {
		refs, err := w.c.Binaries.Git(ctx, s.TokenFile, w.dir, "ls-remote", s.URL(path), "refs/heads/main")
		must.Succeed(w.t, err)
		if want := head + "\trefs/heads/main"; refs != want {
			w.t.Errorf("%s of %s has %q, want %q", s.Name, virtualStorage, refs, want)
		}
	}
}

func create(t *testing.T, c *Cluster, virtualStorage, path string) (url string) {
	t.Helper()
	url, err := c.CreateRepository(limited(t), virtualStorage, path)
	must.Succeed(t, err)
	return url
}

func TestCluster_survivesKillsAndAnEmptyDisk(t *testing.T) {
	c := Run(t, Options{Binaries: programs, PostgresTLS: true, Settings: "[consistency]\nintent_linger = '100ms'\n"})
	ctx := limited(t)
	w := newWork(t, c, create(t, c, "default", "group/project.git"))
	w.push("first")
	w.equal("default", "group/project.git")

	i := c.Instances[0]
	must.Succeed(t, i.Kill())
	must.Succeed(t, i.Start())
	must.Succeed(t, i.WaitReady(ctx))
	w.push("second")
	w.equal("default", "group/project.git")

	must.Succeed(t, c.Storage("default", "gitaly-3").ReplaceDisk(ctx))
	w.push("third")
	w.equal("default", "group/project.git")

	sums, err := c.Checksums(ctx, "default", "group/project.git")
	must.Succeed(t, err)
	if first := sums["gitaly-1"]; len(sums) != 3 || len(first) != 40 || sums["gitaly-2"] != first || sums["gitaly-3"] != first {
		t.Errorf("got the checksums %v, want three equal ones", sums)
	}
}

func TestCluster_virtualStoragesMayShareAStoragesName(t *testing.T) {
	shared, err := postgres.Launch(t.Context(), postgres.Options{})
	must.Succeed(t, err)
	t.Cleanup(func() {
		if err := shared.Close(); err != nil {
			t.Error(err)
		}
	})
	c := Run(t, Options{
		Binaries: programs, Postgres: shared,
		VirtualStorages: []VirtualStorage{Numbered("one", 2), Numbered("two", 2)},
	})
	for _, name := range []string{"one", "two"} {
		w := newWork(t, c, create(t, c, name, "same/path.git"))
		w.push("of-" + name)
		w.equal(name, "same/path.git")
	}
}

func TestCluster_stopLeavesNoProcess(t *testing.T) {
	c, err := Start(limited(t), Options{Binaries: programs, WithoutPostgres: true})
	must.Succeed(t, err)
	if pid := c.Postgres.PID(); pid != 0 {
		t.Errorf("Postgres is process %d, want it to be down", pid)
	}
	if err := c.Storages[1].Pause(); err != nil {
		t.Error(err)
	}
	if err := c.Postgres.Start(t.Context()); err != nil {
		t.Error(err)
	}
	pids := []int{c.Postgres.PID()}
	for _, p := range c.processes() {
		if !p.Running() {
			t.Errorf("%s is not running", p.Label())
		}
		pids = append(pids, p.PID())
	}
	if err := c.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	for _, pid := range pids {
		if !gone(pid) {
			t.Errorf("process %d is left", pid)
		}
	}
	if _, err := os.Stat(c.Dir); !os.IsNotExist(err) {
		t.Errorf("the directory is left: %v", err)
	}
}

func TestStart_saysWhyItFailsAndLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	_, err := Start(limited(t), Options{Binaries: programs, Dir: dir, Settings: "[admin]\nno_such_key = 1"})
	if err == nil || !strings.Contains(err.Error(), "praefect-1 ended: exit status 1") || !strings.Contains(err.Error(), "no_such_key") {
		t.Errorf("got %v, want how praefect ended and what it said", err)
	}
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	must.Succeed(t, err)
	for _, path := range lines {
		if line, err := os.ReadFile(path); err == nil && strings.Contains(string(line), dir) {
			t.Errorf("left: %q", line)
		}
	}
}

func TestCluster_clientsComeInThroughTheBalancer(t *testing.T) {
	c := Run(t, Options{Binaries: programs, WithoutPostgres: true, Balancer: true})
	ctx := limited(t)
	if c.ClientAddr() != c.Balancer.Addr || c.Balancer.Addr == c.Instances[0].Addr {
		t.Errorf("clients come in at %s, the balancer is at %s", c.ClientAddr(), c.Balancer.Addr)
	}
	path := "group/project.git"
	if _, err := c.CreateRepository(ctx, "default", path); err != nil {
		t.Fatal(err)
	}
	w := newWork(t, c, c.URL("default", path))
	w.push("first")

	i := c.Instances[0]
	must.Succeed(t, i.Kill())
	must.Succeed(t, i.Start())
	must.Succeed(t, c.Balancer.WaitReady(ctx))
	w.push("second")
}
