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

	"praefect/test/cluster"
	"praefect/test/gitaly"
	"praefect/test/must"
	"praefect/test/runbook"
	"praefect/test/scenario"
)

func instanceDown(w *harness) {
	i := scenario.Follower(w, w.c)
	must.Succeed(w, i.Kill())
	w.expect("PraefectInstanceDown", "PraefectQuorumAtRisk", "PraefectDegraded")
	for _, block := range []string{"instance-down-check", "quorum-at-risk-check"} {
		w.answers(w.operator(), block, degraded, i.Label()+"  unreachable", "can lose 0")
	}
	w.answers(w.operator(), "degraded-check", degraded, "instance-away", "cannot-lose-any")
	w.answers(w.on(i), "instance-down-log", stopped, i.Label())
	w.fix(w.on(i), "instance-down-fix")
	must.Succeed(w, i.WaitReady(w.ctx))
	w.healthy()
}

func quorumLost(w *harness) {
	for _, i := range w.c.Instances[:2] {
		must.Succeed(w, i.Kill())
	}
	w.expect("PraefectNoLeader", "PraefectInstanceWithoutLease", "PraefectUnavailable")
	for _, block := range []string{"no-leader-check", "unavailable-check"} {
		w.answers(w.operator(), block, unavailable, "praefect-1  unreachable", "praefect-2  unreachable", "no-leader")
	}
	w.answers(w.on(w.c.Instances[2]), "without-lease-check", well, "no lease")
	for _, i := range w.c.Instances[:2] {
		w.fix(w.on(i), "no-leader-fix")
	}
	must.Succeed(w, w.c.WaitReady(w.ctx))
	w.healthy()
}

func allDown(w *harness) {
	for _, i := range w.c.Instances {
		must.Succeed(w, i.Kill())
	}
	w.expect("PraefectAbsent")
	for _, i := range w.c.Instances {
		w.answers(w.on(i), "absent-check", stopped)
		w.fix(w.on(i), "absent-fix")
	}
	must.Succeed(w, w.c.WaitReady(w.ctx))
	w.healthy()
}

func storageDown(w *harness) {
	s := w.storage("gitaly-3")
	must.Succeed(w, s.Kill())
	w.expect("PraefectStorageDown", "PraefectStorageNotServing")
	must.Succeed(w, w.push("a.git"))
	w.expect("PraefectRepositoriesBehind")
	w.answers(w.operator(), "storage-down-check", degraded, "storage-away", s.Name)
	w.answers(w.onStorage(s), "storage-down-host", stopped)
	w.answers(w.operatorOf("a.git"), "behind-check", well, "a.git", s.Name)
	w.fix(w.onStorage(s), "storage-down-fix")
	must.Succeed(w, s.WaitReady(w.ctx))
	w.healthy()
	w.operate("drain", "gitaly-2", "-y")
	w.answers(w.operator(), "not-serving-check", degraded, "storage-not-serving", "gitaly-2")
	w.fix(w.operator(), "not-serving-fix")
	w.healthy()
}

func storageSlow(w *harness) {
	s := w.storage("gitaly-3")
	must.Succeed(w, s.Pause())
	w.expect("PraefectStorageSlow")
	w.answers(w.operator(), "storage-slow-check", degraded, "storage-slow", s.Name)
	w.answers(w.onStorage(s), "storage-slow-host", well, "load average", "Use%")
	w.fix(w.operator(), "storage-slow-fix")
	must.Succeed(w, s.Resume())
	w.healthy()
}

// repositoryUnavailable leaves a write on one storage alone, and takes that one away.
func repositoryUnavailable(w *harness) {
	primary, err := w.c.Primary(w.ctx, "default")
	must.Succeed(w, err)
	var others []*cluster.Storage
	for _, s := range w.c.Storages {
		if s != primary {
			others = append(others, s)
			must.Succeed(w, s.Kill())
		}
	}
	w.p.await("PraefectStorageNotServing")
	must.Succeed(w, w.push("b.git"))
	must.Succeed(w, primary.Kill())
	for _, s := range others {
		must.Succeed(w, s.Start())
	}
	w.expect("PraefectRepositoriesUnavailable")
	w.answers(w.operator(), "unavailable-repositories-check", unavailable, "b.git", others[0].Name, others[1].Name)
	w.fix(w.onStorage(primary), "unavailable-repositories-fix")
	must.Succeed(w, w.c.WaitReady(w.ctx))
	w.healthy()
}

func postgresAway(w *harness) {
	must.Succeed(w, w.c.Postgres.Stop(0))
	w.expect("PraefectPostgresAway")
	w.answers(w.operator(), "postgres-away-check", failed, "ping postgres")
	w.fix(w.onPostgres(), "postgres-away-fix")
	w.answers(w.operator(), "postgres-away-check", well, "OK")
	w.healthy()
}

func failoverPaused(w *harness) {
	w.operate("pause", "-for", "1h", "-why", "a test")
	w.expect("PraefectFailoverPaused")
	w.answers(w.operator(), "failover-paused-check", well, "a test")
	w.fix(w.operator(), "failover-paused-fix")
	w.healthy()
}

// edit changes the settings of one instance, and returns how to take that back.
func (w *harness) edit(i *cluster.Instance, change func(text string) string) (undo func()) {
	w.Helper()
	former, err := os.ReadFile(i.Config)
	must.Succeed(w, err)
	must.Succeed(w, os.WriteFile(i.Config, []byte(change(string(former))), 0o600))
	return func() { must.Succeed(w, os.WriteFile(i.Config, former, 0o600)) }
}

func (w *harness) restart(i *cluster.Instance) {
	w.Helper()
	must.Succeed(w, scenario.Restart(w.ctx, i))
}

func reloadRefused(w *harness) {
	i := w.c.Instances[0]
	undo := w.edit(i, func(text string) string { return text + "\n[raft]\n" })
	must.Succeed(w, i.Hangup())
	w.expect("PraefectReloadRefused")
	w.answers(w.on(i), "reload-refused-check", unreadable, "raft")
	undo()
	w.fix(w.on(i), "reload-refused-fix")
	w.healthy()
}

func settingsDiffer(w *harness) {
	i := scenario.Follower(w, w.c)
	undo := w.edit(i, func(text string) string { return strings.Replace(text, "copies = 2", "copies = 3", 1) })
	w.restart(i)
	w.expect("PraefectSettingsDiffer")
	w.answers(w.operator(), "settings-differ-check", degraded, "copies", i.Label())
	undo()
	w.fix(w.on(i), "settings-differ-fix")
	must.Succeed(w, i.WaitReady(w.ctx))
	w.healthy()
}

func certificateExpires(w *harness) {
	dir := filepath.Join(w.TempDir(), "tls")
	w.operate("tls", "init", "-dir", dir, "-days", "1", "-instance", "one=localhost")
	i := scenario.Follower(w, w.c)
	undo := w.edit(i, func(text string) string {
		pair := filepath.Join(dir, "one", "server")
		return "socket_path = \"" + filepath.Join(dir, "socket") + "\"\ntls_listen_addr = \"127.0.0.1:0\"\n" + text +
			"\n[tls]\ncertificate_path = \"" + pair + ".crt\"\nkey_path = \"" + pair + ".key\"\n"
	})
	w.restart(i)
	w.expect("PraefectCertificateExpires")
	w.answers(w.operator(), "certificate-check", degraded, "certificate-expires", "server.crt")
	undo()
	w.restart(i)
	w.healthy()
}

// repairFails makes a replica that its storage cannot change.
func repairFails(w *harness) {
	s := w.storage("gitaly-3")
	if primary, err := w.c.Primary(w.ctx, "default"); err != nil || primary == s {
		w.operate("promote", "gitaly-1")
	}
	must.Succeed(w, s.Kill())
	w.p.await("PraefectStorageNotServing")
	must.Succeed(w, w.push("c.git"))
	replica := filepath.Join(s.Dir, "c.git")
	chattr := func(flag string) {
		out, err := exec.CommandContext(context.WithoutCancel(w.ctx), "chattr", "-R", flag, replica).CombinedOutput()
		if err != nil {
			w.Fatalf("chattr %s: %v: %s", flag, err, out)
		}
	}
	chattr("+i")
	w.Cleanup(func() { chattr("-i") })
	must.Succeed(w, s.Start())
	w.expect("PraefectRepairFails")
	w.answers(w.operator(), "repair-fails-check", well, "c.git", s.Name)
	w.answers(w.onStorage(s), "repair-fails-host", well, "Use%")
	chattr("-i")
	w.fix(w.operator(), "repair-fails-fix")
	w.healthy()
}

// primaryFull has a primary whose disk is full while clients push: git alone tells them.
func primaryFull(w *harness) {
	primary := w.storage("gitaly-1")
	if now, err := w.c.Primary(w.ctx, "default"); err != nil || now != primary {
		w.operate("promote", primary.Name)
	}
	must.Succeed(w, gitaly.WriteFaults(primary.Dir, gitaly.Fault{Disk: "full"}))
	for range 3 {
		if err := w.push("a.git"); err == nil || !strings.Contains(err.Error(), "unpack") {
			w.Fatalf("a push onto a full disk: %v", err)
		}
	}
	w.expect("PraefectPrimaryFailsWrites")
	w.answers(w.operator(), "primary-fails-check", degraded, "primary-cannot-write", primary.Name)
	w.answers(w.onStorage(primary), "primary-fails-host", well, "Use%", "IUse%")
	// A repository that is written to gets another primary by itself.
	scenario.Within(w.T, patience, "the primary of a.git steps down", func(context.Context) error { return w.push("a.git") })
	out, err := w.c.Operate(w.ctx, "history", "-limit", "20")
	must.Succeed(w, err)
	if !strings.Contains(out, "a.git") || !strings.Contains(out, primary.Name) {
		w.Fatalf("history has no line about that: %s", out)
	}
	w.fix(w.operator(), "primary-fails-fix")
	must.Succeed(w, w.push("b.git"))
	must.Succeed(w, gitaly.WriteFaults(primary.Dir))
	w.operate("queue", "retry")
	must.Succeed(w, w.c.WaitConverged(w.ctx))
	w.operate("promote", primary.Name)
	for _, path := range []string{"a.git", "b.git"} { // that it works is seen by its writes
		must.Succeed(w, w.push(path))
	}
	w.healthy()
}

// replicaChanged moves a branch on a secondary past praefect.
func replicaChanged(w *harness) {
	primary, err := w.c.Primary(w.ctx, "default")
	must.Succeed(w, err)
	at := slices.IndexFunc(w.c.Storages, func(s *cluster.Storage) bool { return s != primary })
	replica := filepath.Join(w.c.Storages[at].Dir, "a.git")
	out, err := exec.CommandContext(w.ctx, "git", "-C", replica, "update-ref", "refs/heads/other", "refs/heads/main").CombinedOutput()
	if err != nil {
		w.Fatalf("update-ref: %v: %s", err, out)
	}
	_, _, err = w.c.Praefectctl(w.ctx, "verify", "a.git") // its code says that a replica differs
	must.Succeed(w, err)
	w.expect("PraefectReplicaDiffers")
	w.answers(w.operator(), "replica-differs-check", well, "a.git")
	w.healthy()
}

// noPrimary takes all storages away while clients write on.
func noPrimary(w *harness) {
	for _, s := range w.c.Storages {
		must.Succeed(w, s.Kill())
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
	for _, block := range []string{"no-primary-check", "writes-refused-check", "calls-fail-check"} {
		w.answers(w.operator(), block, unavailable, "no-primary")
	}
	cancel()
	<-ended
	for _, s := range w.c.Storages {
		w.fix(w.onStorage(s), "no-primary-fix")
	}
	must.Succeed(w, w.c.WaitReady(w.ctx))
	w.healthy()
}

// leaderChanges hands leadership on; the alert ends when a quarter of an hour has passed.
func leaderChanges(w *harness) {
	for range 5 {
		term := func(ctx context.Context) (string, error) { return w.p.value(ctx, "max(praefect_consensus_term)") }
		former, err := term(w.ctx)
		must.Succeed(w, err)
		w.operate("raft", "transfer")
		// Changes between two scrapes count as one.
		scenario.Within(w.T, patience, "Prometheus sees a new term", func(ctx context.Context) error {
			now, err := term(ctx)
			if err == nil && now == former {
				err = errors.New("it sees the former one")
			}
			return err
		})
	}
	w.expect("PraefectLeaderChangesOften")
	w.answers(w.operator(), "leader-changes-check", well, "  term ")
	w.answers(w.operator(), "leader-changes-log", well, "leader")
}

// conflictAtTheStart has replicas that differ from the beginning, and so short a time between two
// verifications of a repository that all are late but the one whose turn it was.
func conflictAtTheStart(t *testing.T, page *runbook.Page, raised map[string]bool) {
	w := begin(t, page, raised, cluster.Options{
		Settings: "[background_verification]\nverification_interval = \"1ms\"\n[reconciliation]\nscheduling_interval = \"1s\"\n",
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
	for n := range 5 {
		_, err := w.c.CreateRepository(w.ctx, "default", fmt.Sprintf("late-%d.git", n))
		must.Succeed(w, err)
	}
	w.expect("PraefectConflict", "PraefectVerificationLate")
	w.answers(w.operator(), "verification-late-check", degraded, "conflict")
	w.answers(w.operatorOf("conflict.git"), "conflict-check", degraded, "conflict.git", "refs/heads/main")
	h := w.onStorage(w.storage("gitaly-2"))
	h.Env = append(h.Env, "REPOSITORY=conflict.git")
	w.fix(h, "conflict-keep")
	h = w.operatorOf("conflict.git")
	h.Input = "gitaly-1\n"
	w.fix(h, "conflict-fix")
	scenario.Within(t, patience, "nothing is behind", func(ctx context.Context) error {
		out, err := w.c.Operate(ctx, "dataloss")
		if err == nil && strings.Contains(out, "conflict.git") {
			err = errors.New(out)
		}
		return err
	})
}
