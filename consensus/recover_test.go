package consensus

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"praefect/consensus/member"
	"praefect/consensus/membership"
	"praefect/consensus/peer"
	"praefect/consensus/setup"
	"praefect/consensus/store"
	"praefect/fsm/state"
	"praefect/test/must"
)

// offlineOf opens the directory of a seat whose instance does not run.
func (c *cluster) offlineOf(s *seat) *membership.Offline {
	c.t.Helper()
	var peers []member.Peer
	for _, other := range c.others(s) {
		peers = append(peers, other.peer)
	}
	o, err := membership.OpenOffline(c.t.Context(), setup.Config{
		DataDir: s.dir, Name: s.peer.Name, ListenAddr: s.peer.Addr, Fakes: setup.Fakes{Dial: c.net.dial(s.peer.Addr)},
		Credentials: peer.Credentials{Secret: secret}, LockTimeout: patience, Peers: peers,
	})
	must.Succeed(c.t, err)
	return o
}

func TestOffline_recoversFromALostQuorum(t *testing.T) {
	c := newCluster(t, 3).startAll()
	leader := c.leader()
	leader.must(t, define(), openIntent("a"))
	survivor := c.others(leader)[0]
	eventually(t, "the survivor knows", func() bool { return survivor.entry("a") != nil })
	former, formerID := survivor.View().ClusterID, survivor.ID()
	for _, s := range c.seats {
		c.crash(s)
	}
	lost := c.others(survivor)

	o := c.offlineOf(survivor)
	survey := o.Survey(t.Context())
	if survey.Quorum() || len(survey.Ahead()) > 0 || survey.ClusterID != former || survey.Last == 0 || len(survey.Members) != 3 {
		t.Errorf("found %+v", survey)
	}
	for _, m := range survey.Members {
		if m.Self != (m.ID == formerID) || (m.Err == "") != m.Self || m.Name == "" {
			t.Errorf("member %+v", m)
		}
	}
	recovered, err := o.Recover(nil, "operator", time.Second)
	must.Succeed(t, err)
	must.Succeed(t, o.Close())
	if recovered.Former != former || recovered.ClusterID == former {
		t.Errorf("recovered %+v", recovered)
	}
	for _, name := range []string{store.IdentityFile, store.LogFile} {
		if _, err := os.Stat(filepath.Join(recovered.Aside, name)); err != nil {
			t.Errorf("the former content is not kept: %v", err)
		}
	}

	c.start(survivor).ready(t) // with all three in its settings
	if survivor.ID() == formerID || survivor.View().ClusterID != recovered.ClusterID {
		t.Errorf("it is %s of cluster %s", survivor.ID(), survivor.View().ClusterID)
	}
	if e := survivor.entry("a"); e == nil || e.HasLive() || !e.HasDoubt() {
		t.Errorf("what was under way is %v", e)
	}
	survivor.must(t, openIntent("b"))
	// One of the lost ones comes back as it was: it is of another cluster.
	c.start(lost[0])
	sleep(t, 2*time.Second)
	if members := survivor.Members(); len(members) != 1 {
		t.Errorf("an instance of the former cluster has joined: %v", members)
	}
	c.crash(lost[0])
	for _, s := range lost {
		s.empty(t)
		c.start(s).ready(t)
	}
	for _, s := range c.seats {
		c.voters(s, c.seats...)
		s.must(t, openIntent(s.peer.Name))
	}
	c.agree()
}

// A survey tells which member knows more, and when nothing is lost.
func TestOffline_Survey_namesWhoIsThere(t *testing.T) {
	c := newCluster(t, 3).startAll()
	leader := c.leader()
	stopped := c.others(leader)[0]
	stopped.stop(t)
	leader.must(t, define(), openIntent("a"))
	o := c.offlineOf(stopped)
	survey := o.Survey(t.Context())
	must.Succeed(t, o.Close())
	if !survey.Quorum() {
		t.Errorf("two of three answer, and it is no quorum: %+v", survey)
	}
	if ahead := survey.Ahead(); len(ahead) != 2 {
		t.Errorf("ahead are %q", ahead)
	}
	c.start(stopped).ready(t)
}

// A directory without state, such as a wrong one, knows no members: those of the settings are asked,
// so that no snapshot is restored beside a cluster that is well.
func TestOffline_Survey_ofAnEmptyDirectory(t *testing.T) {
	c := newCluster(t, 3).startAll()
	leader := c.leader()
	leader.must(t, define())
	stopped := c.others(leader)[0]
	stopped.stop(t)
	full := stopped.dir
	stopped.dir = t.TempDir()
	survey := func() membership.Survey {
		o := c.offlineOf(stopped)
		defer func() {
			if err := o.Close(); err != nil {
				t.Error(err)
			}
		}()
		return o.Survey(t.Context())
	}
	if got := survey(); !got.Quorum() || got.ClusterID != "" {
		t.Errorf("two of three answer, and it is no quorum: %+v", got)
	}
	third := c.others(leader)[1]
	c.crash(third)
	if got := survey(); got.Quorum() || len(got.Ahead()) != 1 {
		t.Errorf("one of three answers: %+v", got)
	}
	stopped.dir = full
	c.start(stopped)
	c.start(third).ready(t)
}

func TestOffline_restoresASnapshotOnAnEmptyDirectory(t *testing.T) {
	first := begin(t, t.TempDir()).ready(t)
	first.must(t, define(), openIntent("a"))
	saved := first.View()
	first.stop(t)

	dir := t.TempDir()
	o, err := membership.OpenOffline(t.Context(), setup.Config{DataDir: dir, Name: "one"})
	must.Succeed(t, err)
	if _, err := o.Recover(nil, "operator", 0); err == nil {
		t.Error("nothing was recovered")
	}
	recovered, err := o.Recover(saved, "operator", 0)
	if err := o.Close(); err != nil {
		t.Error(err)
	}
	must.Succeed(t, err)
	second := begin(t, dir).ready(t)
	if got := second.View(); got.ClusterID != recovered.ClusterID || got.ClusterID == saved.ClusterID || second.entry("a") == nil {
		t.Errorf("cluster %q with %v", got.ClusterID, second.entry("a"))
	}
	second.must(t, openIntent("b"))
}

// prepareRecovery leaves the directory as a recovery that dies before it replaces the content.
func prepareRecovery(t *testing.T, dir string, id store.Identity) {
	onDisk(t, dir, func(d *store.Disk) error {
		found, err := d.Read(func(store.Committed) uint64 { return store.Everything })
		if err != nil {
			return err
		}
		index := found.End + 1
		s := found.State.Recover(state.Recovery{Index: state.Index(index), ClusterID: "recovered"})
		return d.Prepare(id, s, index, found.EndTerm+1, id.ID)
	})
}

// TestOffline_Recover_diesAnywhere: until all is prepared nothing is changed; from then
// on the instance does not start before the recovery is finished.
func TestOffline_Recover_diesAnywhere(t *testing.T) {
	contents := []string{"committed", store.LogFile, "snapshots", store.IdentityFile}
	for moved := range len(contents) + 1 {
		t.Run(fmt.Sprint(moved), func(t *testing.T) {
			dir := t.TempDir()
			first := begin(t, dir).ready(t)
			first.must(t, define(), openIntent("a"))
			first.stop(t)
			prepareRecovery(t, dir, store.Identity{Version: 1, ID: "another", Bootstrapped: true, Member: true, ClusterID: "recovered"})
			for _, name := range contents[:moved] {
				for _, step := range [][2]string{{name, name + ".former"}, {filepath.Join("recovering", name), name}} {
					if err := os.Rename(filepath.Join(dir, step[0]), filepath.Join(dir, step[1])); err != nil && !errors.Is(err, os.ErrNotExist) {
						t.Fatal(err)
					}
				}
			}
			if n, err := open(t, dir); err == nil || !strings.Contains(err.Error(), store.RecoverCommand) {
				t.Errorf("it starts in the middle of a recovery: %v, %v", n, err)
			}
			o, err := membership.OpenOffline(t.Context(), setup.Config{DataDir: dir, Name: "one"})
			must.Succeed(t, err)
			must.Succeed(t, o.Close())
			second := begin(t, dir).ready(t)
			if got := second.View().ClusterID; got != "recovered" || second.entry("a") == nil || second.ID() != "another" {
				t.Errorf("%s of cluster %q with %v", second.ID(), got, second.entry("a"))
			}
		})
	}
}

// An operator who gives up a recovery that was interrupted has the instance join another cluster:
// nothing of the recovery is left for its next start. Another name must wait for the end of it.
func TestSetAside_ofAnInterruptedRecovery(t *testing.T) {
	dir := t.TempDir()
	first := begin(t, dir).ready(t)
	first.must(t, define())
	first.stop(t)
	prepareRecovery(t, dir, store.Identity{Version: 1, ID: "another", Name: "one", ClusterID: "recovered"})
	if _, err := store.Rename(t.Context(), dir, "two"); err == nil || !strings.Contains(err.Error(), store.RecoverCommand) {
		t.Errorf("it gets another name in the middle of a recovery: %v", err)
	}
	aside, err := store.SetAside(t.Context(), dir, time.Now())
	must.Succeed(t, err)
	if _, err := os.Stat(filepath.Join(aside, "recovering", "complete")); err != nil {
		t.Errorf("what was prepared is not kept: %v", err)
	}
	if got := begin(t, dir).ready(t).View().ClusterID; got == "recovered" {
		t.Error("the recovery was finished all the same")
	}
}
