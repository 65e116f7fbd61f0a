package gitaly

import (
	"os"
	"runtime"
	"testing"

	"praefect/test/must"
)

// A process that is not used any more ends by itself.
func TestCatFiles_endWithoutWork(t *testing.T) {
	dir := t.TempDir()
	null, err := os.Open(os.DevNull)
	must.Succeed(t, err)
	defer null.Close()
	repo := &repository{git: &git{program: "git"}, storage: &storage{dir: dir, lock: null}, path: dir}
	c := &catFiles{most: 1, rest: 1}
	p, err := c.take(repo)
	must.Succeed(t, err)
	c.put(p)
	idle := func() int {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.idle)
	}
	for idle() > 0 {
		runtime.Gosched()
	}
	if p.cmd.ProcessState == nil {
		t.Error("the process runs on")
	}
}
