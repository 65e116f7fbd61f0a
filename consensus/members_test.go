package consensus

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"praefect/consensus/membership"
	"praefect/consensus/setup"
	"praefect/fsm/state"
	"praefect/test/must"
)

// The leader may retire a former life between the registration and the instance's own
// attempt to.
func TestNode_retire_formerLifeIsGoneAlready(t *testing.T) {
	n, err := open(t, t.TempDir())
	must.Succeed(t, err)
	defer func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var watching sync.WaitGroup
	defer watching.Wait()
	watched, end := context.WithCancel(ctx)
	defer end()
	must.Succeed(t, membership.Begin(ctx, n.Group))
	watching.Go(func() { n.library.WatchLeadership(watched) })
	former, err := n.announce(ctx)
	must.Succeed(t, err)
	present, err := n.announce(ctx)
	must.Succeed(t, err)
	n.incarnation.Store(uint64(present.Incarnation))
	n.proposer.incarnation = present.Incarnation
	for range 2 {
		if err := n.retire(ctx, []state.Incarnation{former.Incarnation}); err != nil {
			t.Fatalf("retire a former life: %v", err)
		}
	}
	// Anything else that is refused is an error.
	if err := n.retire(ctx, []state.Incarnation{present.Incarnation}); err == nil {
		t.Error("an incarnation has retired itself")
	}
}

// An instance that waits for the removal of its predecessor says so now and then.
func TestCluster_waitingJoinerLogsSeldom(t *testing.T) {
	c := newCluster(t, 3).startAll()
	leader := c.leader()
	leader.must(t, define())
	dead := c.others(leader)[0]
	c.crash(dead)
	dead.dir = t.TempDir()
	var out lines
	dead.change = append(dead.change, func(config *setup.Config) { config.Logger = slog.New(slog.NewTextHandler(&out, nil)) })
	c.start(dead)
	eventually(t, "it says what it waits for", func() bool { return strings.Contains(out.String(), "raft remove") })
	before := strings.Count(out.String(), "\n")
	const watch = 3 * time.Second
	sleep(t, watch)
	// Today's tree writes some forty lines a second.
	if more := strings.Count(out.String(), "\n") - before; more > 10 {
		t.Errorf("%d lines in %v, such as\n%s", more, watch, out.String()[max(0, len(out.String())-2000):])
	}
}

// lines is a log that may be read while it is written.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// sleep waits for d, in which something must not happen.
func sleep(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
		t.Fatal(context.Cause(t.Context()))
	}
}

// A peer of the settings that is no member is shown: it was removed, or waits to join.
func TestNode_PeersStatus_namesWhoIsNoMember(t *testing.T) {
	c := newCluster(t, 3).startAll()
	leader := c.leader()
	removed := c.others(leader)[0]
	c.crash(removed)
	left := c.others(removed)
	c.byLeader(left, func(leader *seat) error { return leader.RemovePeer(t.Context(), removed.peer.Name, false) })
	eventually(t, "all know that it is no member", func() bool { return len(left[1].Members()) == 2 })
	all := left[1].PeersStatus(t.Context())
	if len(all) != 3 {
		t.Fatalf("%d instances: %+v", len(all), all)
	}
	if got := all[2]; got.Name != removed.peer.Name || got.Address != removed.peer.Addr || !got.NotMember || got.Voter || got.Err == "" {
		t.Errorf("the removed one is %+v", got)
	}
	for _, s := range all[:2] {
		if s.NotMember {
			t.Errorf("the member %q is shown as none", s.Name)
		}
	}
}
