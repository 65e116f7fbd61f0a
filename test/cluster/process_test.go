package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"praefect/test/must"
)

// orphanNote tells a re-executed test binary to start a process, note its pid in
// the named file, and wait to be killed.
const orphanNote = "CLUSTER_TEST_ORPHAN_NOTE"

// shell is a process that runs a script.
func shell(t *testing.T, script string) *Process {
	t.Helper()
	p := shellIn(t.TempDir(), script)
	t.Cleanup(func() {
		if err := p.Kill(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func shellIn(dir, script string) *Process {
	return &Process{
		name: "script", program: "/bin/sh", args: []string{"-c", script}, log: filepath.Join(dir, "log"),
		env: []string{"PATH=" + os.Getenv("PATH")},
	}
}

func start(t *testing.T, p *Process, env ...string) {
	t.Helper()
	must.Succeed(t, p.Start(env...))
}

// awaitLog waits until the process has written a text.
func awaitLog(t *testing.T, p *Process, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := poll(ctx, pollEvery, func(context.Context) (bool, error) {
		content, err := os.ReadFile(p.Log())
		if strings.Contains(string(content), text) {
			return true, nil
		}
		return false, fmt.Errorf("it holds %q (%v)", content, err)
	})
	if err != nil {
		t.Fatalf("wait for %q in the log: %v", text, err)
	}
}

func TestProcess_waitTellsHowItEnded(t *testing.T) {
	p := shell(t, "echo it went wrong; exit 3")
	start(t, p)
	exit, ok := errors.AsType[*ExitError](p.Wait(t.Context()))
	if !ok || exit.State.ExitCode() != 3 || exit.Tail != "it went wrong\n" {
		t.Errorf("got %+v, want status 3 and what it wrote", exit)
	}
	if p.Running() {
		t.Error("it runs after its end")
	}
	if err := p.surprise(); err != nil {
		t.Errorf("an end that somebody waited for is a surprise: %v", err)
	}
}

func TestProcess_aBadEndThatNobodySawIsASurprise(t *testing.T) {
	p := shell(t, "exit 3")
	start(t, p)
	<-p.Ended()
	if _, ok := errors.AsType[*ExitError](p.surprise()); !ok {
		t.Error("it is none")
	}
}

func TestProcess_startsAgainWithOtherVariables(t *testing.T) {
	p := shell(t, `echo "with $EXTRA"; exit 1`)
	for _, extra := range []string{"one", "two"} {
		start(t, p, "EXTRA="+extra)
		exit, ok := errors.AsType[*ExitError](p.Wait(t.Context()))
		if want := "with " + extra + "\n"; !ok || exit.Tail != want {
			t.Errorf("got %+v, want the log of this life alone: %q", exit, want)
		}
	}
	content, err := os.ReadFile(p.Log())
	if err != nil || string(content) != "with one\nwith two\n" {
		t.Errorf("got the log %q, %v; want that of both lives", content, err)
	}
}

func TestProcess_terminateEndsAPausedOne(t *testing.T) {
	p := shell(t, "trap 'echo ending; exit 0' TERM; echo up; while :; do sleep 0.02; done")
	start(t, p)
	awaitLog(t, p, "up\n")
	if err := p.Start(); err == nil {
		t.Error("a running process was started")
	}
	must.Succeed(t, p.Pause())
	if err := p.Terminate(t.Context()); err != nil {
		t.Error(err)
	}
	awaitLog(t, p, "ending\n")
	if err := p.Terminate(t.Context()); err != nil {
		t.Errorf("terminate what has ended: %v", err)
	}
}

func TestProcess_terminateKillsWhatDoesNotEnd(t *testing.T) {
	p := shell(t, "trap '' TERM; echo up; while :; do sleep 0.02; done")
	start(t, p)
	awaitLog(t, p, "up\n")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	err := p.Terminate(ctx)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "up\n") {
		t.Errorf("got %v, want the deadline and the log", err)
	}
	if p.Running() {
		t.Error("it still runs")
	}
}

func TestProcess_awaitEndsWithTheProcess(t *testing.T) {
	p := shell(t, "echo no; exit 4")
	start(t, p)
	err := p.await(t.Context(), "serve", func(context.Context) error { return errors.New("not yet") })
	if exit, ok := errors.AsType[*ExitError](err); !ok || exit.Tail != "no\n" {
		t.Errorf("got %v, want how it ended", err)
	}
}

func TestProcess_awaitSaysWhatWasMissing(t *testing.T) {
	p := shell(t, "echo up; while :; do sleep 0.02; done")
	start(t, p)
	awaitLog(t, p, "up\n")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	missing := errors.New("not yet")
	err := p.await(ctx, "serve", func(context.Context) error { return missing })
	if !errors.Is(err, missing) || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "up\n") {
		t.Errorf("got %v, want the deadline, what was missing, and the log", err)
	}
}

func TestProcess_endsWithItsOwner(t *testing.T) {
	note := filepath.Join(t.TempDir(), "note")
	owner := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
	owner.Env = append(os.Environ(), orphanNote+"="+note)
	owner.Stderr = os.Stderr
	must.Succeed(t, owner.Start())
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var pid int
	err := poll(ctx, pollEvery, func(context.Context) (bool, error) {
		content, err := os.ReadFile(note)
		if !strings.HasSuffix(string(content), "\n") {
			return false, fmt.Errorf("it holds %q (%v)", content, err)
		}
		pid, err = strconv.Atoi(strings.TrimSpace(string(content)))
		return true, err
	})
	if err != nil {
		t.Fatalf("read the pid of the owner's process: %v", err)
	}
	must.Succeed(t, owner.Process.Kill())
	if err := owner.Wait(); err == nil {
		t.Error("a killed owner succeeded")
	}
	err = poll(ctx, pollEvery, func(context.Context) (bool, error) {
		if gone(pid) {
			return true, nil
		}
		return false, errors.New("it is there")
	})
	if err != nil {
		t.Errorf("wait for the end of process %d: %v", pid, err)
	}
}

// gone tells whether a process has ended; a zombie has: whoever adopted it may be
// slow to bury it.
func gone(pid int) bool {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	return err != nil || syscall.Kill(pid, 0) != nil || strings.Contains(string(stat), ") Z ")
}

// ownAndHang is the owner of the test above.
func ownAndHang(note string) error {
	p := shellIn(filepath.Dir(note), "while :; do sleep 0.02; done")
	if err := p.Start(); err != nil {
		return err
	}
	if err := os.WriteFile(note, []byte(strconv.Itoa(p.PID())+"\n"), 0o600); err != nil {
		return err
	}
	return p.Wait(context.Background())
}
