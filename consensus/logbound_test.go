package consensus

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"praefect/consensus/setup"
	"praefect/consensus/store"
	"praefect/fsm/state"
	"praefect/test/must"
)

func TestNode_boundsTheLogInBytes(t *testing.T) {
	const (
		bound   = 4 << 20
		growth  = 16 << 20 // by which bbolt makes its file larger
		written = 96 << 20
	)
	dir := t.TempDir()
	bounded := func(c *setup.Config) { c.Fakes.LogBytes = bound }
	i := begin(t, dir, bounded).ready(t)
	file := filepath.Join(dir, store.LogFile)
	size := func() int64 {
		info, err := os.Stat(file)
		must.Succeed(t, err)
		return info.Size()
	}
	large := strings.Repeat("x", 1<<20)
	for range written >> 20 {
		i.must(t, state.Command{Resume: &state.Resume{By: large}}) // it leaves nothing in the state
		eventually(t, "the log is cut", func() bool { return i.disk.LogBytes() <= 2*bound })
	}
	if got := size(); got > 4*bound+2*growth {
		t.Errorf("raft.db has %d bytes after %d were written, with a bound of %d", got, written, bound)
	}
	i.stop(t) // a cut may be under way before
	before := i.disk.LogBytes()
	again, err := open(t, dir, bounded)
	must.Succeed(t, err)
	defer again.Close()
	if got := again.disk.LogBytes(); got < before/2 || got > before*2 {
		t.Errorf("%d bytes are found at the start, and were %d", got, before)
	}
}
