package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"praefect/test/cluster"
	"praefect/test/must"
)

// asDemo makes a re-executed test binary the command.
const asDemo = "DEMO_TEST_AS_DEMO"

// programs are those of this package's tests. Only TestMain sets it.
var programs cluster.Binaries

func TestMain(m *testing.M) {
	if os.Getenv(asDemo) != "" {
		main()
		os.Exit(0)
	}
	os.Exit(cluster.Main(m, &programs))
}

// harness is a place for a demo of a test's own.
type harness struct {
	t           *testing.T
	build, home string
}

func newHarness(t *testing.T) harness {
	t.Helper()
	// Root's Postgres runs as another user, who must get there.
	root, err := os.MkdirTemp("", "demo-")
	must.Succeed(t, err)
	w := harness{t, filepath.Join(root, "build"), filepath.Join(root, "state home")}
	t.Cleanup(func() {
		w.run("down")
		if err := os.RemoveAll(root); err != nil {
			t.Error(err)
		}
	})
	must.Succeed(t, errors.Join(os.Chmod(root, 0o755), os.Mkdir(w.build, 0o755), os.Mkdir(w.home, 0o755)))
	for _, program := range []string{cluster.Praefect, cluster.Praefectctl, cluster.GitRemoteGitaly, cluster.TestGitaly} {
		must.Succeed(t, os.Symlink(programs.Path(program), filepath.Join(w.build, program)))
	}
	return w
}

func (w harness) state() string { return filepath.Join(w.home, stateName) }

// run runs the command as a process that ends before the demo does.
func (w harness) run(args ...string) (stdout, stderr string, code int) {
	w.t.Helper()
	// The cleanup needs it when the test's context has ended.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.t.Context()), 6*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, os.Args[0], append([]string{"-build", w.build}, args...)...)
	command.Env = append(os.Environ(), asDemo+"=1", "XDG_STATE_HOME="+w.home, "GITALY_BIN="+cluster.NoGitaly)
	var out, complaints bytes.Buffer
	command.Stdout, command.Stderr = &out, &complaints
	err := command.Run()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		w.t.Fatal(err)
	}
	return out.String(), complaints.String(), command.ProcessState.ExitCode()
}

// must runs the command, which must succeed, and returns what it printed.
func (w harness) must(args ...string) string {
	w.t.Helper()
	stdout, stderr, code := w.run(args...)
	if code != 0 || stderr != "" {
		w.t.Fatalf("%v: exit code %d\n%s\n%s", args, code, stdout, stderr)
	}
	return stdout
}

// kill ends a process of the demo and returns when it is gone.
func (w harness) kill(p process) {
	w.t.Helper()
	must.Succeed(w.t, end(w.t.Context(), w.state(), []process{p}, syscall.SIGKILL, time.Minute))
}

func (w harness) wantNothingLeft() {
	w.t.Helper()
	left, err := processesOf(w.state())
	if err != nil || len(left) > 0 {
		w.t.Errorf("left: %v, %v", left, err)
	}
	if _, err := os.Stat(filepath.Join(w.build, "demo.json")); !errors.Is(err, fs.ErrNotExist) {
		w.t.Errorf("the description is left: %v", err)
	}
}

func (w harness) record() *record {
	w.t.Helper()
	r, err := readRecord(filepath.Join(w.build, "demo.json"))
	must.Succeed(w.t, err)
	return r
}

func TestDemo_staysUpUntilItIsTakenDown(t *testing.T) {
	w := newHarness(t)
	up := w.must("up")
	for _, want := range []string{"git push", "git clone", "gitaly-3", "praefectctl status", "make demo-down",
		"votes of storages", "kill -9 of the primary storage", "LONGEST PAUSE", "UNAVAILABLE REPOSITORIES", "every acknowledged write there"} {
		if !strings.Contains(up, want) {
			t.Errorf("up does not mention %q:\n%s", want, up)
		}
	}
	first := w.record()
	running, err := processesOf(w.state())
	if err != nil || len(running) != 8 {
		t.Errorf("got %v, %v; want eight processes", running, err)
	}
	if again := w.must("up"); !strings.Contains(again, "up already") || !strings.Contains(again, first.ClientAddr) {
		t.Errorf("a second up says:\n%s", again)
	}
	if again := w.record(); again.Instances[0] != first.Instances[0] {
		t.Errorf("a second up changed %v to %v", first.Instances[0], again.Instances[0])
	}
	w.must("status")

	w.kill(process{first.Storages[1].PID, cluster.TestGitaly})
	if _, stderr, code := w.run("status"); code != 1 || !strings.Contains(stderr, "1 of 8 processes ended") {
		t.Errorf("status with a dead storage: exit code %d, %q", code, stderr)
	}
	if again := w.must("-tour=false", "up"); !strings.Contains(again, "gitaly-2 ended") || !strings.Contains(again, "git clone") {
		t.Errorf("up with a dead storage says:\n%s", again)
	}
	if second := w.record(); second.Postgres.PID == first.Postgres.PID {
		t.Error("up with a dead storage kept the old cluster")
	}

	if down := w.must("down"); !strings.Contains(down, "stopped 8 processes") {
		t.Errorf("down says:\n%s", down)
	}
	w.wantNothingLeft()
	if _, err := os.Stat(w.state()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the state is left: %v", err)
	}
	if again := w.must("down"); !strings.Contains(again, "No demo is up") {
		t.Errorf("a second down says:\n%s", again)
	}
}

func TestDemo_describesItselfInTheAgreedForm(t *testing.T) {
	text, err := json.Marshal(record{
		ClientAddr: "a", TokenFile: "b", StateDir: "c",
		Instances: []instanceRecord{{"n", "a", "m", "c", 1}},
		Storages:  []storageRecord{{"v", "n", "a", "t", "d", 2}},
		Postgres:  postgresRecord{"dsn", 3},
		HAProxy:   haproxyRecord{"h", 4},
	})
	must.Succeed(t, err)
	const want = `{"client_addr":"a","token_file":"b","state_dir":"c",` +
		`"instances":[{"name":"n","addr":"a","metrics_addr":"m","console_addr":"c","pid":1}],` +
		`"storages":[{"virtual_storage":"v","name":"n","addr":"a","token_file":"t","dir":"d","pid":2}],` +
		`"postgres":{"dsn":"dsn","pid":3},"haproxy":{"addr":"h","pid":4}}`
	if string(text) != want {
		t.Errorf("got  %s\nwant %s", text, want)
	}
}

func TestDemo_aFailedUpLeavesNothing(t *testing.T) {
	w := newHarness(t)
	praefect := filepath.Join(w.build, cluster.Praefect)
	must.Succeed(t, errors.Join(os.Remove(praefect), os.WriteFile(praefect, []byte("#!/bin/sh\necho out of luck\nexit 1\n"), 0o755)))
	stdout, stderr, code := w.run("up")
	if code != 1 || !strings.Contains(stderr, "out of luck") || !strings.Contains(stderr, w.state()) {
		t.Errorf("exit code %d, want 1, and praefect's log:\n%s\n%s", code, stdout, stderr)
	}
	w.wantNothingLeft()
}

func TestDemo_refusesACommandLineItDoesNotKnow(t *testing.T) {
	w := newHarness(t)
	for _, args := range [][]string{nil, {"sideways"}, {"up", "down"}, {"-no-such-flag"}} {
		if _, stderr, code := w.run(args...); code != 2 || !strings.Contains(stderr, "usage") {
			t.Errorf("%v: exit code %d, %q; want 2 and the usage", args, code, stderr)
		}
	}
}
