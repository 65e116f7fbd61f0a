package consensus

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"praefect/consensus/setup"
	"praefect/fsm/state"
)

func TestLogSize_measuresBothEnds(t *testing.T) {
	s := newLogSize(1000 * (1000 + perEntry))
	for i := range uint64(2000) {
		s.add(i+1, 1000)
	}
	want := func(entries uint64) {
		t.Helper()
		if got := s.bytes(); got != int64(entries)*(1000+perEntry) {
			t.Errorf("%d bytes, want those of %d entries", got, entries)
		}
	}
	want(2000)
	select {
	case <-s.over:
	default:
		t.Error("nobody is told that it has outgrown its limit")
	}
	if got := s.fits(); got > 500 || got == 0 {
		t.Errorf("%d entries fit into half of the limit, want some, at most 500", got)
	}
	s.remove(1, 100)
	want(1900)
	s.remove(1901, 2000)
	want(1800)
	s.add(1901, 1000)
	want(1801)
	s.remove(101, 1901)
	want(0)
	if got := s.fits(); got != 0 {
		t.Errorf("%d entries of none fit", got)
	}
}

// TestNode_boundsTheLogInBytes: entries that are large reach the bound in bytes long before
// that in entries.
func TestNode_boundsTheLogInBytes(t *testing.T) {
	const (
		bound   = 4 << 20
		growth  = 16 << 20 // by which bbolt makes its file larger
		written = 96 << 20
	)
	dir := t.TempDir()
	bounded := func(c *setup.Config) { c.Fakes.LogBytes = bound }
	i := begin(t, dir, bounded).ready(t)
	file := filepath.Join(dir, logFile)
	size := func() int64 {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	large := strings.Repeat("x", 1<<20)
	for range written >> 20 {
		i.must(t, state.Command{Resume: &state.Resume{By: large}}) // it leaves nothing in the state
		eventually(t, "the log is cut", func() bool { return i.disk.size.bytes() <= 2*bound })
	}
	if got := size(); got > 4*bound+2*growth {
		t.Errorf("raft.db has %d bytes after %d were written, with a bound of %d", got, written, bound)
	}
	before := i.disk.size.bytes()
	i.stop(t)
	again, err := open(t, dir, bounded)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if got := again.disk.size.bytes(); got < before/2 || got > before*2 {
		t.Errorf("%d bytes are found at the start, and were %d", got, before)
	}
}
