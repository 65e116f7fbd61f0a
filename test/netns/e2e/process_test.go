package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"praefect/test/cluster"
	"praefect/test/netns"
	"praefect/test/postgres"
	"praefect/test/workload"
)

func TestInstances_dieHangAndAreRestarted(t *testing.T) {
	w := begin(t, netns.Run(t), cluster.Options{})
	leader := w.leader()
	w.during("kill -9 of the leader", time.Second, signal(leader.Kill), restart(leader))
	leader = w.leader()
	w.during("SIGSTOP of the leader", 4*time.Second, signal(leader.Pause), signal(leader.Resume))
	follower := w.follower()
	w.during("SIGSTOP of a follower", 4*time.Second, signal(follower.Pause), signal(follower.Resume))
	for _, i := range w.c.Instances {
		w.must("wait until all are there", w.c.WaitReady(w.ctx))
		w.during("SIGTERM of "+i.Label(), 0, i.Terminate, restart(i))
	}
	w.settled()
}

func TestStorages_dieAndHang(t *testing.T) {
	w := begin(t, netns.Run(t), cluster.Options{})
	primary := w.primary()
	w.during("kill -9 of the primary", time.Second, signal(primary.Kill), restart(primary))
	w.converge()
	primary = w.primary()
	w.during("SIGSTOP of the primary", 5*time.Second, signal(primary.Pause), signal(primary.Resume))
	w.converge()
	for _, s := range w.c.Storages {
		if s != w.primary() {
			w.during("kill -9 of a secondary", time.Second, signal(s.Kill), restart(s))
			break
		}
	}
	w.settled()
}

func TestPostgres_isNotInTheWay(t *testing.T) {
	w := begin(t, netns.Run(t), cluster.Options{})
	from := time.Now()
	w.during("Postgres is down", 5*time.Second,
		func(context.Context) error { return w.c.Postgres.Stop(postgres.Immediate) },
		func(ctx context.Context) error { return w.c.Postgres.Start(ctx) })
	w.during("Postgres hangs", 5*time.Second, signal(w.c.Postgres.Pause), signal(w.c.Postgres.Resume))
	w.settled()
	if f := w.traffic.Figures(workload.Window{From: from}); f.WritesFailed+f.ReadsFailed > 0 {
		t.Errorf("%d writes and %d reads failed", f.WritesFailed, f.ReadsFailed)
	}
}

func TestQuorum_withoutOneNothingIsAcknowledged(t *testing.T) {
	w := begin(t, netns.Run(t), cluster.Options{})
	last := w.leader()
	var others []*cluster.Instance
	for _, i := range w.c.Instances {
		if i != last {
			others = append(others, i)
			w.must("kill "+i.Label(), i.Kill())
		}
	}
	const leaseIsOver = 2 * time.Second // it lasts a second, and a write may be on its way
	w.must("let the lease end", workload.Pass(w.ctx, leaseIsOver))
	writes, sets := w.traffic.Acknowledged(), w.registers.Sets()
	w.must("watch", workload.Pass(w.ctx, 4*time.Second))
	if more := w.traffic.Acknowledged() - writes + w.registers.Sets() - sets; more > 0 {
		t.Errorf("%d writes were acknowledged without a quorum", more)
	}
	// Clients still read, through the balancer's other backend, and are told.
	reader := workload.Client{Conn: w.c.Conn(), VirtualStorage: vs}
	w.eventually(progressLimit, "a read that says that it may be old", func() error {
		ctx, cancel := context.WithTimeout(w.ctx, 5*time.Second)
		defer cancel()
		var trailer metadata.MD
		id, err := reader.Find(ctx, "group/project-00.git", workload.Branch, grpc.Trailer(&trailer))
		if err == nil && (id == "" || len(trailer.Get("praefect-without-lease")) != 1) {
			t.Fatalf("got %q and the trailer %v", id, trailer)
		}
		return err
	})
	for _, i := range others {
		w.must("start "+i.Label(), i.Start())
	}
	w.getsOn("with a quorum again")
	w.settled()
}

func TestMembership_growsFromOneToThreeAndReplacesOne(t *testing.T) {
	w := begin(t, nil, cluster.Options{Instances: 1})
	w.must("grow", w.c.Grow(w.ctx, 3))
	w.getsOn("through one of three")
	w.allVote(3)
	last := w.c.Instances[2]
	w.must("kill "+last.Label(), last.Kill())
	_, err := w.c.Operate(w.ctx, "raft", "remove", last.Label(), "-y")
	w.must("remove "+last.Label(), err)
	w.must("replace "+last.Label(), last.Replace())
	w.must("wait for "+last.Label(), last.WaitReady(w.ctx))
	w.allVote(3)
	first := w.c.Instances[0]
	w.must("stop "+first.Label(), first.Terminate(w.ctx))
	w.leader() // two of three are enough
	w.must("start "+first.Label(), first.Start())
	w.getsOn("with all of them")
	w.settled()
}

// allVote waits until so many instances are voters.
func (w *world) allVote(n int) {
	w.t.Helper()
	w.eventually(progressLimit, "all to vote", func() error {
		answer, err := w.leader().Admin().RaftStatus(w.ctx)
		if err != nil {
			return err
		}
		voters := 0
		for _, i := range answer.Instances {
			if i.Voter {
				voters++
			}
		}
		if voters != n || len(answer.Instances) != n {
			return fmt.Errorf("%d of %d vote", voters, len(answer.Instances))
		}
		return nil
	})
}
