package membership

import (
	"context"
	"os"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"praefect/test/cluster"
	"praefect/test/runbook"
	"praefect/test/workload"
)

// TestCluster_quorumLostForGood loses two of three instances with their disks, asks the one
// that is left, recovers from it by the commands of the page, and wants everything back.
func TestCluster_quorumLostForGood(t *testing.T) {
	w := begin(t, cluster.Options{Instances: 3})
	survivor := w.c.Instances[2]
	lost := w.c.Instances[:2]
	for _, i := range lost {
		w.must("kill "+i.Label(), i.Kill())
		w.must("lose the disk of "+i.Label(), os.RemoveAll(i.RaftDir))
	}
	w.must("stop "+survivor.Label(), survivor.Terminate(w.ctx))
	w.must("start "+survivor.Label(), survivor.Start())
	w.answersQuestions(survivor)

	page, root := runbook.Open(t, "quorum-lost.md"), t.TempDir()
	page.CarryOut(runbook.OnInstance(w.c, survivor, root), "survivor")
	w.must("wait for "+survivor.Label(), survivor.WaitReady(w.ctx))
	for _, i := range lost {
		page.CarryOut(runbook.OnInstance(w.c, i, root), "others")
	}
	for _, i := range lost {
		w.must("wait for "+i.Label(), i.WaitReady(w.ctx))
	}
	w.allVote(3)
	w.getsOn("after the recovery")
	w.settled()
	page.CarryOut(runbook.OnInstance(w.c, survivor, root), "operator")
}

// answersQuestions wants an instance without a quorum to be asked, and read from.
func (w *harness) answersQuestions(i *cluster.Instance) {
	w.t.Helper()
	w.eventually("an answer without a quorum", func() error {
		ctx, cancel := context.WithTimeout(w.ctx, 5*time.Second)
		defer cancel()
		var trailer metadata.MD
		reader := workload.Client{Conn: i.Conn(), VirtualStorage: vs}
		id, err := reader.Find(ctx, w.paths[0], workload.Branch, grpc.Trailer(&trailer))
		if err == nil && (id == "" || len(trailer.Get(workload.Unleased)) != 1) {
			w.t.Fatalf("got %q and the trailer %v", id, trailer)
		}
		return err
	})
	if _, err := i.Metrics(w.ctx); err != nil {
		w.t.Errorf("metrics: %v", err)
	}
	for _, args := range [][]string{{"status"}, {"raft", "status"}} {
		out, code, err := w.c.Praefectctl(w.ctx, append([]string{"-endpoints", i.Addr}, args...)...)
		if err != nil || code != 4 || out == "" {
			w.t.Errorf("praefectctl %s: code %d, %v: %s", args, code, err, out)
		}
	}
	if out, code, err := w.c.Praefectctl(w.ctx, "-endpoints", i.Addr, "dataloss"); err != nil || code != 0 && code != 4 {
		w.t.Errorf("praefectctl dataloss: code %d, %v: %s", code, err, out)
	}
}
