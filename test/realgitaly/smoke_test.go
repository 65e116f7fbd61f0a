package realgitaly

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"praefect/proxy/admin"
	"praefect/test/cluster"
	"praefect/test/must"
	"praefect/test/workload"
)

const (
	virtualStorage = "default"
	limit          = 3 * time.Minute
	zero           = "0000000000000000000000000000000000000000"
	// settings let what is left to repair be repaired soon.
	settings = `
[consistency]
intent_linger = "300ms"
[replication]
retry_min = "100ms"
retry_max = "1s"
attempts = 1000
[reconciliation]
scheduling_interval = "1s"
[failover]
return_after = "1s"
return_after_max = "1s"
`
)

// programs are those of this package's tests. Only TestMain sets it.
var programs cluster.Binaries

func TestMain(m *testing.M) { os.Exit(cluster.Main(m, &programs)) }

// operators is the Gitaly that an operator named; without one the test is skipped: we
// may not ship it.
func operators(t *testing.T) *cluster.Gitaly {
	t.Helper()
	bin := os.Getenv("GITALY_BIN")
	if bin == "" {
		t.Skip("GITALY_BIN names no gitaly (and GITALY_GIT the git of it, 2.42 or later): docs/operations/own-gitaly.md tells how to run this")
	}
	gitaly, err := cluster.FindGitaly(t.Context(), bin, os.Getenv("GITALY_GIT"))
	must.Succeed(t, err)
	if gitaly == nil {
		t.Fatalf("GITALY_BIN=%s is no Gitaly", bin)
	}
	return gitaly
}

func TestRealGitaly(t *testing.T) { smoke(t, operators(t)) }

func TestSmoke_onAStandIn(t *testing.T) { smoke(t, standInFor(t)) }

// standInFor is a program that can be taken for Gitaly.
func standInFor(t *testing.T) *cluster.Gitaly {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "gitaly")
	must.Succeed(t, os.WriteFile(bin, fmt.Appendf(nil, standIn, programs.Path(cluster.TestGitaly)), 0o755))
	gitaly, err := cluster.FindGitaly(t.Context(), bin, "")
	must.Succeed(t, err)
	if gitaly.Version != "Gitaly, version 0 (a stand-in)" || gitaly.Git != "" {
		t.Errorf("got %+v", gitaly)
	}
	return gitaly
}

// standIn is a program that takes the command line and the settings of Gitaly.
const standIn = `#!/bin/bash
set -e
[ "$1" != --version ] || { echo "Gitaly, version 0 (a stand-in)"; exit; }
[ "$1" = serve ] || { echo "unknown command: $*" >&2; exit 2; }
value() { sed -n "s/^$1 = '\(.*\)'\$/\1/p" "$config"; }
config=$2
value token > "$config.token"
storages=$(paste -d= <(value name) <(value path) | sed 's/^/-storage /')
exec '%s' -listen "tcp://$(value listen_addr)" $storages -token-file "$config.token"
`

// begin starts a cluster on nodes of it.
func begin(t *testing.T, gitaly *cluster.Gitaly, limit time.Duration) *suite {
	t.Helper()
	t.Logf("on %s, %s, git %q", gitaly.Bin, gitaly.Version, gitaly.Git)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	c, err := cluster.Start(ctx, cluster.Options{Binaries: programs, Instances: 3, Balancer: true, Gitaly: gitaly, Settings: settings})
	must.Succeed(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			var logs strings.Builder
			c.Diagnose(&logs)
			t.Log(logs.String())
		}
		if err := c.Stop(context.WithoutCancel(ctx)); err != nil {
			t.Error(err)
		}
	})
	s := &suite{t: t, ctx: ctx, c: c}
	must.Succeed(s.t, c.WaitConverged(ctx))
	s.wantVoters()
	return s
}

// smoke creates, pushes, clones and loses a primary.
func smoke(t *testing.T, gitaly *cluster.Gitaly) {
	s := begin(t, gitaly, limit)
	ctx, c, dir := s.ctx, s.c, t.TempDir()

	const path = "group/project.git"
	url, err := c.CreateRepository(ctx, virtualStorage, path)
	must.Succeed(s.t, err)
	work, err := workload.Clone(ctx, c, url, filepath.Join(dir, "work"))
	must.Succeed(s.t, err)
	before := s.votes()
	first := s.push(work, url, path, "first")
	if after := s.votes(); after <= before {
		t.Errorf("the push was not voted on: %v votes before it, %v after", before, after)
	}

	// git can replace a reference by one below it, and a storage that misses that
	// cannot be copied onto as it is; and Gitaly's checksums do not see pipelines.
	client := workload.Client{Conn: c.Balancer.Conn(), VirtualStorage: virtualStorage}
	must.Succeed(s.t, client.Point(ctx, path, "refs/heads/topic", first, zero))
	primary, err := c.Primary(ctx, virtualStorage)
	must.Succeed(s.t, err)
	must.Succeed(s.t, primary.Kill())
	last := s.push(work, url, path, "without its primary")
	must.Succeed(s.t, client.Point(ctx, path, "refs/heads/topic", zero, first))
	must.Succeed(s.t, client.Point(ctx, path, "refs/heads/topic/new", last, zero))
	must.Succeed(s.t, client.Point(ctx, path, "refs/pipelines/1", last, zero))
	must.Succeed(s.t, primary.Start())
	must.Succeed(s.t, c.WaitConverged(ctx)) // which compares the replicas
	for _, storage := range c.Storages {
		got, err := workload.Client{Conn: storage.Conn(), VirtualStorage: storage.Name}.Find(ctx, path, "refs/heads/main")
		if err != nil || got != last {
			t.Errorf("%s has %q on main, %v; want %q", storage.Label(), got, err, last)
		}
	}

	again, err := workload.Clone(ctx, c, url, filepath.Join(dir, "again"))
	must.Succeed(s.t, err)
	if got, err := c.Git(ctx, again.Dir, "rev-parse", "refs/remotes/origin/main"); err != nil || got != last {
		t.Errorf("the clone has %q on main, %v; want %q", got, err, last)
	}
}

// suite is one cluster and its test.
type suite struct {
	t   *testing.T
	ctx context.Context
	c   *cluster.Cluster
}

// wantVoters wants every storage to be one that can vote.
func (s *suite) wantVoters() {
	answer, err := s.c.Instances[0].Admin().Status(s.ctx, admin.StatusRequest{VirtualStorage: virtualStorage})
	must.Succeed(s.t, err)
	for _, v := range answer.VirtualStorages {
		for _, storage := range v.Storages {
			if !storage.Votes {
				s.t.Errorf("%s cannot vote: %+v", storage.Name, storage)
			}
		}
	}
}

// votes is how many votes of storages were answered with yes.
func (s *suite) votes() (sum float64) {
	for _, i := range s.c.Instances {
		metrics, err := i.Metrics(s.ctx)
		must.Succeed(s.t, err)
		sum += metrics[`gitaly_praefect_transactions_total{action="committed"}`]
	}
	return sum
}

// push pushes a commit and wants to read it at once through every instance.
func (s *suite) push(work *workload.Checkout, url, path, subject string) (id string) {
	s.t.Helper()
	id, err := work.Push(s.ctx, url, "main", subject)
	must.Succeed(s.t, err)
	for _, i := range s.c.Instances {
		got, err := workload.Client{Conn: i.Conn(), VirtualStorage: virtualStorage}.Find(s.ctx, path, "refs/heads/main")
		if err != nil || got != id {
			s.t.Errorf("after the push %q: %s has %q on main, %v; want %q", subject, i.Label(), got, err, id)
		}
	}
	return id
}
