package realgitaly

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"

	"praefect/test/cluster"
	"praefect/test/must"
	"praefect/test/workload"
)

// TestRealGitaly_locks: locks of git, and pauses that are as short, cost clients some time,
// and no storage its copy.
func TestRealGitaly_locks(t *testing.T) { locks(t, operators(t), 200) }

func TestLocks_onAStandIn(t *testing.T) { locks(t, standInFor(t), 60) }

func locks(t *testing.T, gitaly *cluster.Gitaly, deletions int) {
	s := begin(t, gitaly, 2*limit)
	l := &locking{suite: s, path: "locks/project.git"}
	url, err := s.c.CreateRepository(s.ctx, virtualStorage, l.path)
	must.Succeed(s.t, err)
	work, err := workload.Clone(s.ctx, s.c, url, filepath.Join(t.TempDir(), "work"))
	must.Succeed(s.t, err)
	s.push(work, url, l.path, "the first")
	must.Succeed(s.t, s.c.WaitConverged(s.ctx))
	primary, err := s.c.Primary(s.ctx, virtualStorage)
	must.Succeed(s.t, err)
	l.secondaries = slices.DeleteFunc(slices.Clone(s.c.Storages), func(o *cluster.Storage) bool { return o == primary })

	const held = 3 * time.Second
	for n, at := range [][]*cluster.Storage{l.secondaries[:1], l.secondaries} {
		l.costsNothing(fmt.Sprintf("packed-refs.lock for %v in %d secondaries", held, len(at)), held, func() {
			ref := fmt.Sprintf("refs/pipelines/held-%d", n)
			l.packed(ref)
			for _, storage := range at {
				lock := filepath.Join(storage.Dir, l.path, "packed-refs.lock")
				must.Succeed(s.t, os.WriteFile(lock, nil, 0o600))
				time.AfterFunc(held, func() { _ = os.Remove(lock) }) // one that is left is seen later
			}
			must.Succeed(s.t, l.delete(s.c.Instances[0], ref))
		})
	}

	const paused = 1350 * time.Millisecond
	l.costsNothing(fmt.Sprintf("both secondaries paused for %v", paused), paused, func() {
		for _, storage := range l.secondaries {
			must.Succeed(s.t, storage.Pause())
		}
		var resumed sync.WaitGroup
		resumed.Go(func() {
			must.Succeed(s.t, workload.Pass(s.ctx, paused))
			for _, storage := range l.secondaries {
				must.Succeed(s.t, storage.Resume())
			}
		})
		client := workload.Client{Conn: s.c.Instances[1].Conn(), VirtualStorage: virtualStorage}
		err := client.Point(s.ctx, l.path, "refs/heads/while-paused", "refs/heads/main", zero)
		resumed.Wait()
		must.Succeed(s.t, err)
	})

	l.costsNothing(fmt.Sprintf("%d deletions over three instances, 8 at a time", deletions), 0, func() { l.contend(deletions) })
}

// locking is a repository whose replicas git locks.
type locking struct {
	*suite
	path        string
	secondaries []*cluster.Storage
}

// costsNothing runs something, and wants all storages to have it: no round with too few
// votes, no repair, no lock that is left, and no less time than the cause of the wait lasts.
func (l *locking) costsNothing(what string, least time.Duration, run func()) {
	l.t.Helper()
	const short, repairs = "praefect_short_votes_total", "praefect_replication_attempts_total"
	before := [2]float64{l.sum(short), l.sum(repairs)}
	began := time.Now()
	run()
	took := time.Since(began)
	must.Succeed(l.t, l.c.WaitConverged(l.ctx))
	after := [2]float64{l.sum(short), l.sum(repairs)}
	l.t.Logf("%s: %v, %v short rounds, %v repairs", what, took.Round(time.Millisecond), after[0]-before[0], after[1]-before[1])
	if after != before || took < least {
		l.t.Errorf("%s: %v, short rounds and repairs %v before it, %v after", what, took, before, after)
	}
	var first string
	for n, storage := range l.c.Storages {
		refs, err := l.c.Git(l.ctx, filepath.Join(storage.Dir, l.path), "for-each-ref")
		must.Succeed(l.t, err)
		if n == 0 {
			first = refs
		}
		if refs != first || strings.Contains(refs, "refs/pipelines/") {
			l.t.Errorf("%s: references on %s:\n%s\non another storage:\n%s", what, storage.Label(), refs, first)
		}
		must.Succeed(l.t, filepath.WalkDir(filepath.Join(storage.Dir, l.path), func(path string, _ fs.DirEntry, err error) error {
			if strings.HasSuffix(path, ".lock") {
				l.t.Errorf("%s: %s is left on %s", what, path, storage.Label())
			}
			return err
		}))
	}
}

// sum adds a counter of all instances.
func (l *locking) sum(name string) (sum float64) {
	l.t.Helper()
	for _, i := range l.c.Instances {
		metrics, err := i.Metrics(l.ctx)
		must.Succeed(l.t, err)
		of, _ := metrics.Sum(name) // none: it has counted nothing
		sum += of
	}
	return sum
}

// packed makes references on the disks of all storages, as housekeeping leaves them.
func (l *locking) packed(refs ...string) {
	l.t.Helper()
	for _, storage := range l.c.Storages {
		dir := filepath.Join(storage.Dir, l.path)
		args := []string{"fetch", "--quiet", "--no-write-fetch-head", "."}
		for _, ref := range refs {
			args = append(args, "refs/heads/main:"+ref)
		}
		_, err := l.c.Git(l.ctx, dir, args...)
		must.Succeed(l.t, err)
		_, err = l.c.Git(l.ctx, dir, "pack-refs", "--all")
		must.Succeed(l.t, err)
	}
}

func (l *locking) delete(through *cluster.Instance, ref string) error {
	client := workload.Client{Conn: through.Conn(), VirtualStorage: virtualStorage}
	answer, err := gitalypb.NewRefServiceClient(through.Conn()).DeleteRefs(l.ctx, &gitalypb.DeleteRefsRequest{
		Repository: client.Repository(l.path), Refs: [][]byte{[]byte(ref)},
	})
	if err == nil && answer.GetGitError() != "" {
		err = fmt.Errorf("git refuses: %s", answer.GetGitError())
	}
	return err
}

// contend deletes references as GitLab deletes those of pipelines.
func (l *locking) contend(deletions int) {
	l.t.Helper()
	var refs []string
	for n := range deletions {
		refs = append(refs, fmt.Sprintf("refs/pipelines/%d", n))
	}
	l.packed(refs...)
	next := make(chan int)
	failed := make(chan error, deletions)
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			for n := range next {
				if err := l.delete(l.c.Instances[n%len(l.c.Instances)], refs[n]); err != nil {
					failed <- fmt.Errorf("delete %s: %w", refs[n], err)
				}
			}
		})
	}
	for n := range deletions {
		next <- n
	}
	close(next)
	clients.Wait()
	close(failed)
	for err := range failed {
		l.t.Error(err)
	}
}
