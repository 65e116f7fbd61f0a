package alerts

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"praefect/test/cluster"
	"praefect/test/promql"
)

// patience bounds each wait, on a busy machine.
const patience = 3 * time.Minute

// built are the programs. Only TestMain sets it.
var built cluster.Binaries

func TestMain(m *testing.M) { os.Exit(cluster.Main(m, &built)) }

var deployed = filepath.Join("..", "..", "deploy")

// settings let faults show within seconds: a storage that hangs stays slow instead of dead, and
// repairs are tried again at once.
const settings = `
[consistency]
copies = 2
[detection]
stall = "1h"
[replication]
retry_min = "100ms"
retry_max = "200ms"
attempts = 1000
[reconciliation]
scheduling_interval = "1s"
`

// world is a watched cluster.
type world struct {
	*testing.T
	ctx context.Context
	c   *cluster.Cluster
	p   *prometheus
	// raised are the alerts that the test has seen.
	raised map[string]bool
	pushes int
}

func begin(t *testing.T, options cluster.Options) *world {
	t.Helper()
	options.Binaries, options.Instances = built, 3
	c := cluster.Run(t, options)
	rules, err := promql.ReadRules(filepath.Join(deployed, "prometheus", "rules.yml"))
	must(t, err)
	return &world{T: t, ctx: t.Context(), c: c, p: watch(t, c, rules), raised: make(map[string]bool)}
}

// expect waits for the alerts of a fault.
func (w *world) expect(names ...string) {
	w.Helper()
	w.p.await(names...)
	for _, name := range names {
		w.raised[name] = true
	}
	w.Logf("raised: %s", strings.Join(names, ", "))
}

func (w *world) must(err error) {
	w.Helper()
	must(w.T, err)
}

func (w *world) operate(args ...string) {
	w.Helper()
	_, err := w.c.Operate(w.ctx, args...)
	w.must(err)
}

func (w *world) storage(name string) *cluster.Storage { return w.c.Storage("default", name) }

// follower is an instance that does not lead.
func (w *world) follower() *cluster.Instance {
	w.Helper()
	leader, err := w.c.Leader(w.ctx)
	w.must(err)
	for _, i := range w.c.Instances {
		if i != leader {
			return i
		}
	}
	w.Fatal("every instance leads")
	return nil
}

// push makes a commit and pushes it; the error is git's.
func (w *world) push(path string) error {
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

func (w *world) healthy() {
	w.Helper()
	w.must(w.c.WaitConverged(w.ctx))
	eventually(w.T, "no alert fires", func(ctx context.Context) error {
		firing, err := w.p.firing(ctx)
		delete(firing, "PraefectLeaderChangesOften") // the faults of this test kill leaders
		// Alerts on rates end minutes later, and one on a change past praefect a day later.
		for _, name := range []string{"PraefectCallsFail", "PraefectWritesRefused", "PraefectReplicaDiffers"} {
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

// TestAlerts_eachFires causes the fault of every alert, one after the other.
func TestAlerts_eachFires(t *testing.T) {
	w := begin(t, cluster.Options{Settings: settings})
	for _, path := range []string{"a.git", "b.git", "c.git"} {
		_, err := w.c.CreateRepository(w.ctx, "default", path)
		w.must(err)
		w.must(w.push(path))
	}
	w.healthy()
	for _, fault := range []func(*world){
		instanceDown, quorumLost, allDown, storageDown, storageSlow, repositoryUnavailable, postgresAway, failoverPaused,
		reloadRefused, settingsDiffer, certificateExpires, repairFails, replicaChanged, noPrimary, leaderChanges,
	} {
		fault(w)
	}
	w.queries()
	t.Run("from the start", func(t *testing.T) { conflictAtTheStart(t, w.raised) })

	rules, err := promql.ReadRules(filepath.Join(deployed, "prometheus", "rules.yml"))
	w.must(err)
	for _, r := range rules.All() {
		if r.Alert != "" && !w.raised[r.Alert] {
			t.Errorf("no fault of this test raises %s", r.Alert)
		}
	}
}

func instanceDown(w *world) {
	i := w.follower()
	w.must(i.Kill())
	w.expect("PraefectInstanceDown", "PraefectQuorumAtRisk", "PraefectDegraded")
	w.must(i.Start())
	w.must(i.WaitReady(w.ctx))
	w.healthy()
}

func quorumLost(w *world) {
	for _, i := range w.c.Instances[:2] {
		w.must(i.Kill())
	}
	w.expect("PraefectNoLeader", "PraefectInstanceWithoutLease", "PraefectUnavailable")
	for _, i := range w.c.Instances[:2] {
		w.must(i.Start())
	}
	w.must(w.c.WaitReady(w.ctx))
	w.healthy()
}

func allDown(w *world) {
	for _, i := range w.c.Instances {
		w.must(i.Kill())
	}
	w.expect("PraefectAbsent")
	for _, i := range w.c.Instances {
		w.must(i.Start())
	}
	w.must(w.c.WaitReady(w.ctx))
	w.healthy()
}

func storageDown(w *world) {
	s := w.storage("gitaly-3")
	w.must(s.Kill())
	w.expect("PraefectStorageDown", "PraefectStorageNotServing")
	w.must(w.push("a.git"))
	w.expect("PraefectRepositoriesBehind")
	w.must(s.Start())
	w.must(s.WaitReady(w.ctx))
	w.healthy()
}

func storageSlow(w *world) {
	s := w.storage("gitaly-3")
	w.must(s.Pause())
	w.expect("PraefectStorageSlow")
	w.must(s.Resume())
	w.healthy()
}

// repositoryUnavailable leaves a write on one storage alone, and takes that one away.
func repositoryUnavailable(w *world) {
	primary, err := w.c.Primary(w.ctx, "default")
	w.must(err)
	var others []*cluster.Storage
	for _, s := range w.c.Storages {
		if s != primary {
			others = append(others, s)
			w.must(s.Kill())
		}
	}
	w.p.await("PraefectStorageNotServing")
	w.must(w.push("b.git"))
	w.must(primary.Kill())
	for _, s := range others {
		w.must(s.Start())
	}
	w.expect("PraefectRepositoriesUnavailable")
	w.must(primary.Start())
	w.must(w.c.WaitReady(w.ctx))
	w.healthy()
}

func postgresAway(w *world) {
	w.must(w.c.Postgres.Stop(0))
	w.expect("PraefectPostgresAway")
	w.must(w.c.Postgres.Start(w.ctx))
	w.healthy()
}

func failoverPaused(w *world) {
	w.operate("pause", "-for", "1h", "-why", "a test")
	w.expect("PraefectFailoverPaused")
	w.operate("resume")
	w.healthy()
}

// edit changes the settings of one instance, and returns how to take that back.
func (w *world) edit(i *cluster.Instance, change func(text string) string) (undo func()) {
	w.Helper()
	former, err := os.ReadFile(i.Config)
	w.must(err)
	w.must(os.WriteFile(i.Config, []byte(change(string(former))), 0o600))
	return func() { w.must(os.WriteFile(i.Config, former, 0o600)) }
}

func (w *world) restart(i *cluster.Instance) {
	w.Helper()
	w.must(i.Terminate(w.ctx))
	w.must(i.Start())
	w.must(i.WaitReady(w.ctx))
}

func reloadRefused(w *world) {
	i := w.c.Instances[0]
	undo := w.edit(i, func(text string) string { return text + "\n[raft]\n" })
	w.must(i.Hangup())
	w.expect("PraefectReloadRefused")
	undo()
	w.must(i.Hangup())
	w.healthy()
}

func settingsDiffer(w *world) {
	i := w.follower()
	undo := w.edit(i, func(text string) string { return strings.Replace(text, "copies = 2", "copies = 3", 1) })
	w.restart(i)
	w.expect("PraefectSettingsDiffer")
	undo()
	w.restart(i)
	w.healthy()
}

func certificateExpires(w *world) {
	dir := filepath.Join(w.TempDir(), "tls")
	w.operate("tls", "init", "-dir", dir, "-days", "1", "-instance", "one=localhost")
	i := w.follower()
	undo := w.edit(i, func(text string) string {
		pair := filepath.Join(dir, "one", "server")
		return "socket_path = \"" + filepath.Join(dir, "socket") + "\"\ntls_listen_addr = \"127.0.0.1:0\"\n" + text +
			"\n[tls]\ncertificate_path = \"" + pair + ".crt\"\nkey_path = \"" + pair + ".key\"\n"
	})
	w.restart(i)
	w.expect("PraefectCertificateExpires")
	undo()
	w.restart(i)
	w.healthy()
}

// repairFails makes a replica that its storage cannot change.
func repairFails(w *world) {
	s := w.storage("gitaly-3")
	if primary, err := w.c.Primary(w.ctx, "default"); err != nil || primary == s {
		w.operate("promote", "gitaly-1")
	}
	w.must(s.Kill())
	w.p.await("PraefectStorageNotServing")
	w.must(w.push("c.git"))
	replica := filepath.Join(s.Dir, "c.git")
	chattr := func(flag string) {
		out, err := exec.CommandContext(context.WithoutCancel(w.ctx), "chattr", "-R", flag, replica).CombinedOutput()
		if err != nil {
			w.Fatalf("chattr %s: %v: %s", flag, err, out)
		}
	}
	chattr("+i")
	w.Cleanup(func() { chattr("-i") })
	w.must(s.Start())
	w.expect("PraefectRepairFails")
	chattr("-i")
	w.healthy()
}

// replicaChanged moves a branch on a secondary past praefect.
func replicaChanged(w *world) {
	primary, err := w.c.Primary(w.ctx, "default")
	w.must(err)
	at := slices.IndexFunc(w.c.Storages, func(s *cluster.Storage) bool { return s != primary })
	replica := filepath.Join(w.c.Storages[at].Dir, "a.git")
	out, err := exec.CommandContext(w.ctx, "git", "-C", replica, "update-ref", "refs/heads/other", "refs/heads/main").CombinedOutput()
	if err != nil {
		w.Fatalf("update-ref: %v: %s", err, out)
	}
	_, _, err = w.c.Praefectctl(w.ctx, "verify", "a.git") // its code says that a replica differs
	w.must(err)
	w.expect("PraefectReplicaDiffers")
	w.healthy()
}

// noPrimary takes all storages away while clients write on.
func noPrimary(w *world) {
	for _, s := range w.c.Storages {
		w.must(s.Kill())
	}
	ctx, cancel := context.WithCancel(w.ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for n := 0; ctx.Err() == nil; n++ {
			// Each fails: nothing takes it.
			_ = w.c.Binaries.CreateRepository(ctx, w.c.TokenFile, w.c.URL("default", fmt.Sprintf("new-%d.git", n)))
		}
	}()
	w.expect("PraefectNoPrimary", "PraefectWritesRefused", "PraefectCallsFail")
	cancel()
	<-ended
	for _, s := range w.c.Storages {
		w.must(s.Start())
	}
	w.must(w.c.WaitReady(w.ctx))
	w.healthy()
}

// leaderChanges hands leadership on; the alert ends when a quarter of an hour has passed.
func leaderChanges(w *world) {
	for range 5 {
		term := func(ctx context.Context) (string, error) { return w.p.value(ctx, "max(praefect_consensus_term)") }
		former, err := term(w.ctx)
		w.must(err)
		w.operate("raft", "transfer")
		// Changes between two scrapes count as one.
		eventually(w.T, "Prometheus sees a new term", func(ctx context.Context) error {
			now, err := term(ctx)
			if err == nil && now == former {
				err = errors.New("it sees the former one")
			}
			return err
		})
	}
	w.expect("PraefectLeaderChangesOften")
}

// conflictAtTheStart has replicas that differ from the beginning, and so short a time between two
// verifications that they are always late.
func conflictAtTheStart(t *testing.T, raised map[string]bool) {
	w := begin(t, cluster.Options{
		Settings: "[background_verification]\nverification_interval = \"1ms\"\n",
		Disk: func(ctx context.Context, _, dir string) error {
			path := filepath.Join(dir, "conflict.git")
			script := `git init --quiet --bare --initial-branch=main "$1"; cd "$1"
				git update-ref refs/heads/main "$(git commit-tree -m "$1" "$(git mktree </dev/null)")"`
			cmd := exec.CommandContext(ctx, "bash", "-euc", script, "bash", path)
			cmd.Env = append(os.Environ(), "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@b", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b")
			if out, err := cmd.CombinedOutput(); err != nil {
				return fmt.Errorf("make a repository: %w: %s", err, out)
			}
			return nil
		},
	})
	w.raised = raised
	_, err := w.c.CreateRepository(w.ctx, "default", "late.git")
	w.must(err)
	w.expect("PraefectConflict", "PraefectVerificationLate")
}
