package consensus

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"praefect/consensus/setup"
	"praefect/consensus/store"
	"praefect/test/must"
)

// permits answers MayBegin, and remembers which clusters asked.
type permits struct {
	mu      sync.Mutex
	answers []string // the next ones; afterwards ""
	err     error
	asked   map[string]int
}

func (p *permits) with(c *setup.Config) {
	c.MayBegin = func(_ context.Context, cluster string) (string, error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.asked == nil {
			p.asked = make(map[string]int)
		}
		p.asked[cluster]++
		if len(p.answers) > 0 {
			why := p.answers[0]
			p.answers = p.answers[1:]
			return why, nil
		}
		return "", p.err
	}
}

func TestNode_beginsWhenItMay(t *testing.T) {
	dir, p := t.TempDir(), &permits{answers: []string{"postgres is away", "postgres is away"}, err: errors.New("claimed by another one")}
	first, err := open(t, dir, p.with)
	must.Succeed(t, err)
	if err := errors.Join(first.Run(t.Context()), first.Close()); !errors.Is(err, p.err) {
		t.Errorf("ended with %v, want %v", err, p.err)
	}
	if why := first.Waiting(); why != "postgres is away" {
		t.Errorf("waits for %q", why)
	}
	// Nothing was begun: the same directory begins the same cluster once it may.
	p.err = nil
	second := begin(t, dir, p.with).ready(t)
	id := second.View().ClusterID
	if len(p.asked) != 1 || p.asked[id] != 4 {
		t.Errorf("asked for %v, and began %q", p.asked, id)
	}
	if why := second.Waiting(); why != "" {
		t.Errorf("still waits for %q", why)
	}
	second.stop(t)
	begin(t, dir, p.with).ready(t)
	if p.asked[id] != 4 {
		t.Error("a cluster that is there was asked about")
	}
}

func TestCluster_foundersAskForOneCluster(t *testing.T) {
	c, p := newCluster(t, 3), &permits{answers: []string{"not yet", "not yet"}}
	for _, s := range c.seats {
		s.change = []func(*setup.Config){p.with}
	}
	c.startAll()
	id := c.seats[0].View().ClusterID
	if len(p.asked) != 1 || p.asked[id] < 3 {
		t.Errorf("asked for %v, and began %q", p.asked, id)
	}
}

func named(name string) func(*setup.Config) {
	return func(c *setup.Config) { c.Name, c.Named = name, true }
}

func TestOpen_anotherInstancesDirectory(t *testing.T) {
	dir := t.TempDir()
	begin(t, dir).ready(t).stop(t) // it was given no name
	begin(t, dir, named("praefect-2")).ready(t).stop(t)
	before, err := os.ReadFile(filepath.Join(dir, store.IdentityFile))
	must.Succeed(t, err)
	_, err = open(t, dir, named("praefect-3"))
	if err == nil {
		t.Fatal("opened")
	}
	for _, part := range []string{`belongs to the instance "praefect-2"`, `raft.name is "praefect-3"`, "raft.data_dir", dir, store.RenameCommand} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%v does not say %q", err, part)
		}
	}
	if after, err := os.ReadFile(filepath.Join(dir, store.IdentityFile)); err != nil || string(after) != string(before) {
		t.Errorf("the directory was changed: %s, %v", after, err)
	}
	if was, err := store.Rename(t.Context(), dir, "praefect-3"); was != "praefect-2" || err != nil {
		t.Errorf("got %q, %v", was, err)
	}
	begin(t, dir, named("praefect-3")).ready(t)
}

func TestSetAside(t *testing.T) {
	dir := used(t)
	found, err := store.Inspect(t.Context(), dir)
	if err != nil || !found.Begun || found.ClusterID == "" || found.ID == "" {
		t.Fatalf("got %+v, %v", found, err)
	}
	aside, err := store.SetAside(t.Context(), dir, time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC))
	must.Succeed(t, err)
	if want := filepath.Join(dir, "aside-"+found.ClusterID+"-20261129T120000.000Z"); aside != want {
		t.Errorf("set aside to %q, want %q", aside, want)
	}
	i := begin(t, dir).ready(t)
	if i.ID() == found.ID || i.View().ClusterID == found.ClusterID || i.View().Len() != 0 {
		t.Errorf("still %q of cluster %q", i.ID(), i.View().ClusterID)
	}
	if _, err := store.SetAside(t.Context(), dir, time.Now()); err == nil || !strings.Contains(err.Error(), "stop praefect first") {
		t.Errorf("got %v while an instance has the directory", err)
	}
	i.stop(t)
	// What was set aside is whole.
	old := begin(t, aside).ready(t)
	if old.ID() != found.ID || old.View().ClusterID != found.ClusterID || old.View().Len() != 200 {
		t.Errorf("set aside: %q of cluster %q with %d entries", old.ID(), old.View().ClusterID, old.View().Len())
	}
	if _, err := store.SetAside(t.Context(), t.TempDir(), time.Now()); err == nil || !strings.Contains(err.Error(), "holds no state") {
		t.Errorf("of an empty directory: got %v", err)
	}
}

// A death between two of its steps leaves a directory that does not start, and on which it goes on.
func TestSetAside_goesOn(t *testing.T) {
	dir := used(t)
	must.Succeed(t, os.Rename(filepath.Join(dir, store.LogFile), filepath.Join(t.TempDir(), store.LogFile)))
	refused(t, dir)
	if _, err := store.SetAside(t.Context(), dir, time.Now()); err != nil {
		t.Fatal(err)
	}
	begin(t, dir).ready(t)
}

// newClusters prepares two seats, each of which has begun a cluster of its own and has stopped.
func newClusters(t *testing.T) *cluster {
	t.Helper()
	c := newCluster(t, 2)
	for _, s := range c.seats {
		s.instance = begin(t, s.dir).ready(t)
		s.stop(t)
	}
	return c
}

func TestCluster_instancesOfTwoClustersKeepEachOtherFromServing(t *testing.T) {
	c := newClusters(t)
	a, b := c.seats[0], c.seats[1]
	kept := a.View().ClusterID
	for _, s := range c.seats {
		c.start(s).ready(t)
	}
	for _, s := range c.seats {
		other := c.others(s)[0]
		eventually(t, s.peer.Name+" has met the other cluster", func() bool { return strings.Contains(s.Barred(), other.View().ClusterID) })
	}
	b.stop(t)
	eventually(t, "the other one is gone", func() bool { return a.Barred() == "" })
	if _, err := store.SetAside(t.Context(), b.dir, time.Now()); err != nil {
		t.Fatal(err)
	}
	c.start(b).ready(t)
	eventually(t, "they are one", func() bool {
		return a.Barred() == "" && b.Barred() == "" && b.View().ClusterID == kept && len(a.Members()) == 2
	})
}

// An operator has replaced a cluster: the rest of it keeps no other instance from serving.
func TestCluster_replacedClusterBarsNobody(t *testing.T) {
	c := newClusters(t)
	a, b := c.seats[0], c.seats[1]
	onDisk(t, a.dir, func(d *store.Disk) error {
		return d.Note(func(id *store.Identity) { id.Replaced = []string{b.View().ClusterID} })
	})
	for _, s := range c.seats {
		c.start(s).ready(t)
	}
	eventually(t, "the replaced one is barred, the other is not", func() bool {
		return strings.Contains(b.Barred(), a.View().ClusterID) && a.Barred() == ""
	})
}
