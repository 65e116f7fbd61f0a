package consensus

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// An instance that restarts while the others are away is asked all the same: it has the
// state on its disk.
func TestCluster_restartedWithoutAQuorumIsReadable(t *testing.T) {
	c := newCluster(t, 3).startAll()
	survivor := c.others(c.leader())[0]
	c.byLeader(nil, func(leader *seat) error {
		_, err := leader.Propose(t.Context(), define(), openIntent("a"))
		return err
	})
	eventually(t, "all know", func() bool { return survivor.entry("a") != nil })
	known := survivor.View().Index
	eventually(t, "it is noted that this is committed", func() bool {
		noted, err := readCommitted(survivor.dir)
		return err == nil && noted.Index >= uint64(known)
	})
	for _, s := range c.seats {
		c.crash(s)
	}
	c.start(survivor)
	select {
	case <-survivor.Readable():
	case <-time.After(patience):
		t.Fatal("it is not readable")
	}
	if got := survivor.View(); got.Index < known || survivor.entry("a") == nil || got.ClusterID == "" {
		t.Errorf("the view is at %d, want %d at least, with the entry: %v", got.Index, known, survivor.entry("a"))
	}
	select {
	case <-survivor.Ready():
		t.Error("it takes commands without a quorum")
	default:
	}
	for _, s := range c.others(survivor) {
		c.start(s)
	}
	for _, s := range c.seats {
		s.ready(t)
	}
	survivor.must(t, openIntent("b"))
	c.agree()
}

func TestReadCommitted_trustsNothingDamaged(t *testing.T) {
	dir := t.TempDir()
	want := committed{Index: 7, Term: 3, Time: time.UnixMilli(1_800_000_000_123)}
	whole := want.encode()
	damaged := append([]byte(nil), whole...)
	damaged[7]++
	for _, tc := range []struct {
		name    string
		content []byte
		want    committed
	}{
		{"whole", whole, want},
		{"cut off", whole[:20], committed{}},
		{"damaged", damaged, committed{}},
		{"empty", nil, committed{}},
	} {
		if err := os.WriteFile(filepath.Join(dir, committedFile), tc.content, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := readCommitted(dir); err != nil || got != tc.want {
			t.Errorf("%s: got %+v, %v, want %+v", tc.name, got, err, tc.want)
		}
	}
	if got, err := readCommitted(t.TempDir()); err != nil || got != (committed{}) {
		t.Errorf("none: got %+v, %v", got, err)
	}
}
