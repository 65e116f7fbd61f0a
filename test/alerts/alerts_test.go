package alerts

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"praefect/test/cluster"
	"praefect/test/must"
	"praefect/test/promql"
	"praefect/test/runbook"
	"praefect/test/scenario"
)

// patience bounds each wait, on a busy machine.
const patience = 3 * time.Minute

// built are the programs. Only TestMain sets it.
var built cluster.Binaries

func TestMain(m *testing.M) { os.Exit(cluster.Main(m, &built)) }

var deployed = filepath.Join("..", "..", "deploy")

// settings let faults show, and their ends, within seconds: a storage that hangs stays slow instead
// of dead, one that died often returns as soon as one that died once, and repairs are tried again
// at once.
const settings = `
[consistency]
copies = 2
[detection]
stall = "1h"
[failover]
return_after = "1s"
return_after_max = "2s"
[replication]
retry_min = "100ms"
retry_max = "200ms"
attempts = 1000
[reconciliation]
scheduling_interval = "1s"
`

// harness is a watched cluster.
type harness struct {
	*testing.T
	ctx context.Context
	c   *cluster.Cluster
	p   *prometheus
	// page has the run-books, whose commands the faults are found and mended by.
	page *runbook.Page
	// raised are the alerts that the test has seen.
	raised map[string]bool
	pushes int
}

func begin(t *testing.T, page *runbook.Page, raised map[string]bool, options cluster.Options) *harness {
	t.Helper()
	options.Binaries, options.Instances = built, 3
	c := cluster.Run(t, options)
	rules, err := promql.ReadRules(filepath.Join(deployed, "prometheus", "rules.yml"))
	must.Succeed(t, err)
	return &harness{T: t, ctx: t.Context(), c: c, p: watch(t, c, rules), page: page, raised: raised}
}

// expect waits for the alerts of a fault.
func (w *harness) expect(names ...string) {
	w.Helper()
	w.p.await(names...)
	for _, name := range names {
		w.raised[name] = true
	}
	w.Logf("raised: %s", strings.Join(names, ", "))
}

func (w *harness) operate(args ...string) {
	w.Helper()
	_, err := w.c.Operate(w.ctx, args...)
	must.Succeed(w, err)
}

func (w *harness) storage(name string) *cluster.Storage { return w.c.Storage("default", name) }

// push makes a commit and pushes it; the error is git's.
func (w *harness) push(path string) error {
	url := w.c.URL("default", path)
	dir := filepath.Join(w.TempDir(), "work")
	if _, err := w.c.Git(w.ctx, "/", "clone", "--quiet", url, dir); err != nil {
		return err
	}
	w.pushes++
	if _, err := w.c.Git(w.ctx, dir, "commit", "--quiet", "--allow-empty", "-m", fmt.Sprint(w.pushes)); err != nil {
		return err
	}
	_, err := w.c.Git(w.ctx, dir, "push", "--quiet", "origin", "HEAD:refs/heads/main")
	return err
}

func (w *harness) healthy() {
	w.Helper()
	must.Succeed(w, w.c.WaitConverged(w.ctx))
	scenario.Within(w.T, patience, "no alert fires", func(ctx context.Context) error {
		firing, err := w.p.firing(ctx)
		delete(firing, "PraefectLeaderChangesOften") // the faults of this test kill leaders
		// Alerts on rates and on the last minutes end minutes later, and one on a change past praefect a day later.
		for _, name := range []string{"PraefectCallsFail", "PraefectWritesRefused", "PraefectReplicaDiffers", "PraefectPrimaryFailsWrites"} {
			if w.raised[name] {
				delete(firing, name)
			}
		}
		if err == nil && len(firing) > 0 {
			err = fmt.Errorf("these fire: %v", firing)
		}
		return err
	})
}

// TestAlerts_eachFires causes the fault of every alert, one after the other, and finds and mends it
// by the commands of the alert's run-book. The parts have a cluster each, and -run may choose one.
func TestAlerts_eachFires(t *testing.T) {
	page, raised := runbook.Open(t, "alerts.md"), make(map[string]bool)
	parts := 0
	for _, part := range []struct {
		name string
		run  func(*testing.T, *runbook.Page, map[string]bool)
	}{{"at work", faultsAtWork}, {"from the start", conflictAtTheStart}} {
		t.Run(part.name, func(t *testing.T) {
			parts++
			part.run(t, page, raised)
		})
	}
	if parts < 2 {
		t.Skip("one part alone raises some of the alerts")
	}
	rules, err := promql.ReadRules(filepath.Join(deployed, "prometheus", "rules.yml"))
	must.Succeed(t, err)
	for _, r := range rules.All() {
		if r.Alert != "" && !raised[r.Alert] && !t.Failed() {
			t.Errorf("no fault of this test raises %s", r.Alert)
		}
	}
}

// faultsAtWork has the faults that a healthy cluster meets.
func faultsAtWork(t *testing.T, page *runbook.Page, raised map[string]bool) {
	w := begin(t, page, raised, cluster.Options{Settings: settings})
	for _, path := range []string{"a.git", "b.git", "c.git"} {
		_, err := w.c.CreateRepository(w.ctx, "default", path)
		must.Succeed(w, err)
		must.Succeed(w, w.push(path))
	}
	w.healthy()
	for _, fault := range []func(*harness){
		instanceDown, quorumLost, allDown, storageDown, storageSlow, repositoryUnavailable, postgresAway, failoverPaused,
		reloadRefused, settingsDiffer, certificateExpires, repairFails, primaryFull, replicaChanged, noPrimary, leaderChanges,
	} {
		fault(w)
	}
	w.queries()
}
