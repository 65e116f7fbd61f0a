package gitaly

import (
	"os"
	"path/filepath"
	"testing"

	"praefect/test/must"
)

func TestRunning_removesLocksOnlyWhenNoCommandIsLeft(t *testing.T) {
	repository := t.TempDir()
	lock := filepath.Join(repository, "HEAD.lock")
	leaveLock := func() {
		must.Succeed(t, os.WriteFile(lock, nil, 0o600))
	}
	there := func() bool { _, err := os.Stat(lock); return err == nil }
	var r running
	enter := func() {
		must.Succeed(t, r.enter(repository))
	}
	enter()
	enter()
	leaveLock()
	r.leave(repository, true)
	enter()
	if !there() {
		t.Error("a lock was removed beside a command that may hold it")
	}
	r.leave(repository, false)
	r.leave(repository, false)
	enter()
	if there() {
		t.Error("a lock of a command that was cut off is left")
	}
	r.leave(repository, false)
	leaveLock()
	enter()
	if !there() {
		t.Error("a lock was removed although no command was cut off")
	}
}
