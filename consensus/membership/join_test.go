package membership

import (
	"errors"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"praefect/consensus/library"
	"praefect/consensus/member"
	"praefect/consensus/peer"
	"praefect/consensus/setup"
	"praefect/consensus/store"
	"praefect/fsm"
	"praefect/test/must"
)

// A joiner that notes a membership which is never committed is told at each start that
// it was removed.
func TestMembershipWatch_notesWhatIsCommitted(t *testing.T) {
	config, err := setup.Config{
		DataDir: t.TempDir(), Name: "joiner", ListenAddr: "127.0.0.1:0", Credentials: peer.Credentials{Secret: "sixteen or more characters"},
		Peers: []member.Peer{{Name: "leader", Addr: "127.0.0.1:1"}},
	}.WithDefaults()
	must.Succeed(t, err)
	d, err := store.Open(t.Context(), config)
	must.Succeed(t, err)
	l := library.New(config, d, fsm.New())
	g := New(config, d, l, func(*member.InstanceStatus) {})
	must.Succeed(t, Listen(t.Context(), g))
	defer func() {
		l.Transport.Kill()
		l.Shutdown()
		if err := errors.Join(l.Clients.Close(), d.Close(), l.Transport.Close()); err != nil {
			t.Error(err)
		}
	}()
	must.Succeed(t, l.Prepare())
	// The entry that names it came from a leader that is gone.
	err = l.BeginWith(raft.Configuration{Servers: []raft.Server{
		{ID: "the leader", Address: "127.0.0.1:1"},
		{ID: raft.ServerID(d.ID), Address: raft.ServerAddress(l.Transport.AdvertiseAddr()), Suffrage: raft.Nonvoter},
	}})
	must.Succeed(t, err)
	w := membershipWatch{group: g, heard: time.Now(), compared: time.Now()}
	must.Succeed(t, w.look(t.Context()))
	if d.Known().Member {
		t.Error("an instance has noted that it is a member, and no entry that says so is committed")
	}
}
