package postgres_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"praefect/test/must"
	"praefect/test/postgres"
)

// orphan tells a re-executed test binary to launch a server in the named directory and to wait to be killed.
const orphan = "PRAEFECT_TEST_ORPHAN"

func TestMain(m *testing.M) {
	if os.Getenv(orphan) != "" {
		os.Exit(launchAndHang())
	}
	os.Exit(m.Run())
}

func launch(t *testing.T, options postgres.Options) *postgres.Server {
	t.Helper()
	s, err := postgres.Launch(t.Context(), options)
	must.Succeed(t, err)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func query(t *testing.T, s *postgres.Server, database, statements string) string {
	t.Helper()
	got, err := s.SQL(t.Context(), database, statements)
	must.Succeed(t, err)
	return got
}

func TestServer_keepsDataOverRestarts(t *testing.T) {
	s := launch(t, postgres.Options{})
	addr := s.Addr()
	query(t, s, "postgres", "create table kept (n int); insert into kept values (1)")
	for _, mode := range []postgres.Mode{postgres.Fast, postgres.Immediate} {
		must.Succeed(t, s.Restart(t.Context(), mode))
		if got := query(t, s, "postgres", "select n from kept"); got != "1" || s.Addr() != addr {
			t.Errorf("after a restart with mode %d at %s: got %q, want 1 at %s", mode, s.Addr(), got, addr)
		}
	}
	if got := query(t, s, "postgres", "show fsync"); got != "on" {
		t.Errorf("fsync is %q, want on", got)
	}
}

func TestServer_pauseStopsAnswersAndResumeBringsThemBack(t *testing.T) {
	s := launch(t, postgres.Options{})
	must.Succeed(t, s.Pause())
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if got, err := s.SQL(ctx, "postgres", "select 1"); err == nil {
		t.Errorf("a paused server answered %q", got)
	}
	must.Succeed(t, s.Resume())
	if got := query(t, s, "postgres", "select 1"); got != "1" {
		t.Errorf("got %q, want 1", got)
	}
	must.Succeed(t, s.Pause())
	if err := s.Stop(postgres.Immediate); err != nil {
		t.Errorf("stop a paused server: %v", err)
	}
}

func TestServer_usesADirectoryAgain(t *testing.T) {
	parent := t.TempDir()
	for p := parent; p != os.TempDir() && len(p) > 1; p = filepath.Dir(p) {
		if err := os.Chmod(p, 0o755); err != nil { // root's server runs as another user, who must get there
			t.Fatal(err)
		}
	}
	options := postgres.Options{Dir: filepath.Join(parent, "pg"), Settings: map[string]string{"work_mem": "5MB"}}
	first := launch(t, options)
	query(t, first, "postgres", "create table kept (n int)")
	must.Succeed(t, first.Close())
	options.Settings["work_mem"] = "6MB"
	second := launch(t, options)
	if got := query(t, second, "postgres", "select count(*) from kept; show work_mem"); got != "0\n6MB" {
		t.Errorf("got %q from the second launch, want an empty table and the new setting", got)
	}
}

func TestServer_newDatabasesAreApart(t *testing.T) {
	s := launch(t, postgres.Options{})
	a, err := s.NewDatabase(t.Context())
	must.Succeed(t, err)
	b, err := s.NewDatabase(t.Context())
	must.Succeed(t, err)
	if a == b || !strings.Contains(a, "dbname='test_1'") {
		t.Errorf("got %q and %q, want two databases", a, b)
	}
}

func TestServer_tlsFilesArePrivate(t *testing.T) {
	s := launch(t, postgres.Options{TLS: true})
	info, err := os.Stat(s.Certificates().ClientKey)
	must.Succeed(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the client's key has mode %v, want 0600", info.Mode())
	}
	if got := query(t, s, "postgres", "show ssl"); got != "on" {
		t.Errorf("ssl is %q, want on", got)
	}
}

func TestLaunch_reportsWhatTheServerSays(t *testing.T) {
	_, err := postgres.Launch(t.Context(), postgres.Options{Settings: map[string]string{"shared_buffers": "plenty"}})
	if err == nil || !strings.Contains(err.Error(), `invalid value for parameter "shared_buffers"`) {
		t.Errorf("got %v, want the server's complaint", err)
	}
}

func TestLaunch_leavesNothingWhenItsProcessIsKilled(t *testing.T) {
	note := filepath.Join(t.TempDir(), "note")
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
	child.Env = append(os.Environ(), orphan+"="+note)
	child.Stderr = os.Stderr
	must.Succeed(t, child.Start())
	var pid int
	var log string
	await(t, "the child's server", func() bool {
		content, err := os.ReadFile(note)
		if err != nil {
			return false
		}
		number, path, found := strings.Cut(string(content), "\n")
		if !found || !strings.HasSuffix(path, "\n") {
			return false
		}
		log = strings.TrimSpace(path)
		pid, err = strconv.Atoi(number)
		return err == nil
	})
	must.Succeed(t, child.Process.Kill())
	if err := child.Wait(); err == nil {
		t.Error("a killed child succeeded")
	}
	await(t, "the end of the server", func() bool { return !running(pid) })
	await(t, "the removal of its directory", func() bool {
		_, err := os.Stat(filepath.Dir(log))
		return errors.Is(err, os.ErrNotExist)
	})
}

// running counts a zombie as gone: whoever adopted it may be slow to bury it.
func running(pid int) bool {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	return err == nil && syscall.Kill(pid, 0) == nil && !strings.Contains(string(stat), ") Z ")
}

// launchAndHang is the child of the test above: it notes the server's pid and log, and waits to be killed.
func launchAndHang() int {
	s, err := postgres.Launch(context.Background(), postgres.Options{})
	if err != nil {
		println(err.Error())
		return 1
	}
	note := strconv.Itoa(s.PID()) + "\n" + s.Log() + "\n"
	if err := os.WriteFile(os.Getenv(orphan), []byte(note), 0o600); err != nil {
		println(err.Error())
		return 1
	}
	<-time.After(time.Minute)
	return 1
}

func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	limit := time.After(time.Minute)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-limit:
			t.Fatalf("waited a minute for %s", what)
		case <-tick.C:
		}
	}
}
