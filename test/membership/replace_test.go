package membership

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"praefect/proxy/admin"
	"praefect/test/cluster"
	"praefect/test/runbook"
	"praefect/test/scenario"
)

// TestCluster_replacesAnInstance loses the disk of an instance, then removes one that runs, by
// the commands of the page.
func TestCluster_replacesAnInstance(t *testing.T) {
	w := begin(t, cluster.Options{Instances: 3})
	page, root := runbook.Open(t, "replace-instance.md"), t.TempDir()
	last := w.c.Instances[2]
	operator := runbook.OnInstance(w.c, w.c.Instances[0], root)
	host := runbook.OnInstance(w.c, last, root)
	w.leads(w.c.Instances[0])

	// Its host answers nobody any more, and its port refuses nobody.
	w.must("pause "+last.Label(), last.Pause())
	w.eventually("it to be missed", func() error { return w.unreachable(last) })
	page.CarryOut(operator, "gone")
	w.must("kill "+last.Label(), last.Kill())
	w.must("lose the disk of "+last.Label(), os.RemoveAll(last.RaftDir))
	page.CarryOut(operator, "remove")
	page.CarryOut(host, "begin")
	w.allVote(3)
	w.getsOn("after the replacement")

	w.leads(w.c.Instances[0])
	_, err := w.c.Operate(w.ctx, "raft", "remove", last.Label(), "-y")
	w.must("remove "+last.Label(), err)
	w.endsAsRemoved(last)
	w.must("start "+last.Label(), last.Start())
	w.endsAsRemoved(last)
	host.Input = last.Label() + "\n"
	page.CarryOut(host, "again")
	w.must("wait for "+last.Label(), last.WaitReady(w.ctx))
	w.allVote(3)
	if out := page.CarryOut(operator, "look"); !strings.Contains(out, "3/3 voters") {
		t.Errorf("raft status says %s", out)
	}
	w.settled()
}

// leads has an instance lead.
func (w *harness) leads(i *cluster.Instance) {
	w.t.Helper()
	w.eventually(i.Label()+" to lead", func() error {
		if scenario.Leader(w.t, w.c) == i {
			return nil
		}
		_, err := w.c.Operate(w.ctx, "raft", "transfer", i.Label())
		return err
	})
}

// unreachable wants the leader to miss an instance.
func (w *harness) unreachable(i *cluster.Instance) error {
	answer, err := scenario.Leader(w.t, w.c).Admin().RaftStatus(w.ctx)
	if err != nil {
		return err
	}
	for _, one := range answer.Instances {
		if one.Name == i.Label() && one.State == admin.Unreachable {
			return nil
		}
	}
	return fmt.Errorf("raft status says %+v", answer.Instances)
}

// endsAsRemoved wants the process of an instance to end with the status after which the
// service manager does not start it again.
func (w *harness) endsAsRemoved(i *cluster.Instance) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, scenario.WaitLimit)
	defer cancel()
	exit, ended := errors.AsType[*cluster.ExitError](i.Wait(ctx))
	if !ended || exit.State.ExitCode() != 5 {
		w.t.Fatalf("%s did not end with status 5: %v", i.Label(), exit)
	}
	unit, err := os.ReadFile("../../deploy/praefect.service")
	if err != nil || !regexp.MustCompile(`(?m)^RestartPreventExitStatus=.*\b5\b`).Match(unit) {
		w.t.Errorf("the unit starts it again after status 5: %v", err)
	}
}
