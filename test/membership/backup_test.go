package membership

import (
	"fmt"
	"os"
	"testing"

	"praefect/fsm/state"
	"praefect/proxy/admin"
	"praefect/test/cluster"
	"praefect/test/runbook"
	"praefect/test/scenario"
)

// TestCluster_backupAndRestore restores a storage from an older backup while clients write, then
// loses all instances and the database, and goes on from what was saved, by the commands of the
// page. No acknowledged write is lost.
func TestCluster_backupAndRestore(t *testing.T) {
	w := begin(t, cluster.Options{Instances: 3})
	w.registers.Stop() // they move references back and forth: a backup of them would be in conflict
	page, root := runbook.Open(t, "backup-restore.md"), t.TempDir()
	var hosts []*runbook.Host
	for _, i := range w.c.Instances {
		hosts = append(hosts, runbook.OnInstance(w.c, i, root))
	}
	operator := hosts[0]
	operator.Env = append(operator.Env, w.c.Postgres.Environment()...)
	restored := w.c.Storage(vs, "gitaly-3")
	onStorage := runbook.OnStorage(w.c, restored, root)

	page.CarryOut(operator, "save")
	page.CarryOut(operator, "drain")
	page.CarryOut(onStorage, "save-storage")
	page.CarryOut(operator, "undrain")
	w.eventually("it to serve again", func() error { return w.serves(restored.Name) })
	w.writesMore("after the backup")

	page.CarryOut(operator, "keep-out")
	page.CarryOut(onStorage, "restore-storage")
	operator.Input = restored.Name + "\n"
	page.CarryOut(operator, "refill")
	w.eventually("it to have everything", func() error { return w.serves(restored.Name) })
	w.writesMore("after the restore")
	w.traffic.Stop()
	w.converge()

	for _, i := range w.c.Instances {
		w.must("kill "+i.Label(), i.Kill())
		w.must("lose the disk of "+i.Label(), os.RemoveAll(i.RaftDir))
	}
	page.CarryOut(operator, "restore-postgres")
	page.CarryOut(operator, "recover")
	w.must("wait for the first", w.c.Instances[0].WaitReady(w.ctx))
	for _, h := range hosts[1:] {
		page.CarryOut(h, "join")
	}
	for _, i := range w.c.Instances {
		w.must("wait for "+i.Label(), i.WaitReady(w.ctx))
	}
	w.allVote(3)
	w.settled()
	page.CarryOut(operator, "look")
}

// serves tells what keeps a storage from serving.
func (w *harness) serves(name string) error {
	status, err := scenario.Leader(w.t, w.c).Admin().Status(w.ctx, admin.StatusRequest{VirtualStorage: vs})
	if err != nil {
		return err
	}
	for _, v := range status.VirtualStorages {
		for _, s := range v.Storages {
			if s.Name == name && s.State == state.Serving {
				return nil
			}
		}
	}
	return fmt.Errorf("status says %+v", status.VirtualStorages)
}

// writesMore wants more writes to be acknowledged.
func (w *harness) writesMore(when string) {
	w.t.Helper()
	before := w.traffic.Acknowledged()
	w.eventually("writes "+when, func() error {
		if more := w.traffic.Acknowledged() - before; more < 5 {
			return fmt.Errorf("only %d", more)
		}
		return nil
	})
}
