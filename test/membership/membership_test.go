package membership

import (
	"context"
	"fmt"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"praefect/test/cluster"
	"praefect/test/scenario"
	"praefect/test/workload"
)

func TestCluster_growsFromOneToThreeAndReplacesOne(t *testing.T) {
	w := begin(t, cluster.Options{})
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

	first := w.c.Instances[0] // which alone had the state at first
	w.must("stop "+first.Label(), first.Terminate(w.ctx))
	scenario.Leader(w.t, w.c) // two of three are enough
	w.must("start "+first.Label(), first.Start())
	w.getsOn("with all of them")
	w.settled()
}

// TestCluster_withoutAQuorumAcknowledgesNothingAndStillReads is P7.
func TestCluster_withoutAQuorumAcknowledgesNothingAndStillReads(t *testing.T) {
	w := begin(t, cluster.Options{Instances: 3, Balancer: true})
	var lost []*cluster.Instance
	for leader, n := scenario.Leader(w.t, w.c), 0; n < len(w.c.Instances); n++ {
		if i := w.c.Instances[n]; i != leader {
			lost = append(lost, i)
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
	w.eventually("a read that says that it may be old", func() error {
		ctx, cancel := context.WithTimeout(w.ctx, 5*time.Second)
		defer cancel()
		var trailer metadata.MD
		id, err := reader.Find(ctx, w.paths[0], workload.Branch, grpc.Trailer(&trailer))
		if err == nil && (id == "" || len(trailer.Get(workload.Unleased)) != 1) {
			t.Fatalf("got %q and the trailer %v", id, trailer)
		}
		return err
	})
	for _, i := range lost {
		w.must("start "+i.Label(), i.Start())
	}
	w.getsOn("with a quorum again")
	w.settled()
}

// allVote waits until so many instances are voters, and nobody else is a member.
func (w *harness) allVote(n int) {
	w.t.Helper()
	w.eventually("all to vote", func() error {
		answer, err := scenario.Leader(w.t, w.c).Admin().RaftStatus(w.ctx)
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
