package lease_test

import (
	"slices"
	"testing"
	"time"

	"praefect/consensus/lease"
	"praefect/fsm/state"
)

const (
	ms = time.Millisecond
	// settled is when nothing of former leaders is left, of a term that began
	// at 0.
	settled = length + 60*ms
)

// newGrantor is that of "a" in term 7, which began at 0 with 10 applied.
func newGrantor(voters ...string) *lease.Grantor {
	g := lease.NewGrantor(lease.Election{Term: 7, Self: "a", Length: length})
	g.Voters(voters)
	g.Committed(0, 10)
	return g
}

func send(id string, inc state.Incarnation, ask, term, echo uint64, applied state.Index) *lease.ToLeader {
	return &lease.ToLeader{InstanceID: id, Incarnation: inc, AskNumber: ask, Term: term, Echo: echo, Applied: applied}
}

func TestGrantor_needsAMajorityAfterTheAsk(t *testing.T) {
	for _, tc := range []struct {
		name   string
		voters []string
		said   []*lease.ToLeader
		want   []state.Incarnation
	}{
		{name: "alone", voters: []string{"a"}, said: []*lease.ToLeader{send("a", 1, 1, 7, 0, 10)}, want: []state.Incarnation{1}},
		{name: "one of three and the leader", voters: []string{"a", "b", "c"}, said: []*lease.ToLeader{send("b", 2, 1, 7, 0, 10)}, want: []state.Incarnation{2}},
		{name: "the leader's own ask needs another one", voters: []string{"a", "b", "c"}, said: []*lease.ToLeader{send("a", 1, 1, 7, 0, 10)}},
		{name: "of another term", voters: []string{"a", "b", "c"}, said: []*lease.ToLeader{send("b", 2, 1, 8, 0, 10)}},
		{name: "no voter", voters: []string{"a", "b", "c"}, said: []*lease.ToLeader{send("d", 4, 1, 7, 0, 10)}},
		{name: "two of five and the leader", voters: []string{"a", "b", "c", "d", "e"}, said: []*lease.ToLeader{
			send("b", 2, 1, 7, 0, 10), send("c", 3, 0, 7, 0, 10),
		}},
		{name: "an older message vouches for no later ask", voters: []string{"a", "b", "c"}, said: []*lease.ToLeader{
			send("b", 2, 2, 8, 0, 10), send("b", 2, 1, 7, 0, 10),
		}},
		{name: "no ask", voters: []string{"a", "b", "c"}, said: []*lease.ToLeader{send("b", 2, 0, 7, 0, 10)}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := newGrantor(tc.voters...)
			for _, m := range tc.said {
				g.Received(0, m)
			}
			if got := g.Grant(0, 10); !slices.Equal(got, tc.want) {
				t.Errorf("granted to %v, want %v", got, tc.want)
			}
		})
	}
}

func TestGrantor_asksForWitnesses(t *testing.T) {
	g := newGrantor("a", "b", "c")
	g.Received(0, send("b", 2, 0, 7, g.Ask(), 10)) // an answer from before the ask
	g.Received(0, send("a", 1, 1, 7, 0, 10))
	if !g.Waits() || len(g.Grant(0, 10)) > 0 {
		t.Fatal("nobody has vouched after the ask")
	}
	question := g.Ask()
	if g.Waits() {
		t.Error("the question is asked once")
	}
	g.Received(0, send("b", 2, 0, 8, question, 10))
	if len(g.Grant(0, 10)) > 0 {
		t.Error("granted by one that is in another term")
	}
	g.Received(0, send("c", 3, 0, 7, question, 10))
	if got := g.Grant(0, 10); !slices.Equal(got, []state.Incarnation{1}) {
		t.Errorf("granted to %v", got)
	}
	if len(g.Grant(0, 10)) > 0 {
		t.Error("one ask was granted twice")
	}
}

func TestGrantor_tellsTheGrant(t *testing.T) {
	g := newGrantor("a")
	g.Received(0, send("a", 1, 3, 7, 0, 10))
	g.Grant(0, 10)
	m := &lease.FromLeader{}
	g.Fill(0, 1, m)
	if want := (lease.Grant{For: 3, Index: 10, Length: length}); m.Grant() != want || m.Term != 7 {
		t.Errorf("got %+v in term %d", m.Grant(), m.Term)
	}
	other := &lease.FromLeader{}
	g.Fill(0, 9, other)
	if other.Grant().For != 0 {
		t.Error("one that is not known got a grant")
	}
}

func TestGrantor_oldViewsGetNone(t *testing.T) {
	g := newGrantor("a", "b", "c")
	g.Committed(500*ms, 20)
	for _, tc := range []struct {
		at      time.Duration
		applied state.Index
		want    bool
	}{
		{at: 600 * ms, applied: 9, want: true}, // what was committed a lease ago is not known yet
		{at: 1000 * ms, applied: 9, want: false},
		{at: 1400 * ms, applied: 10, want: true},
		{at: 1500 * ms, applied: 19, want: false},
		{at: 1600 * ms, applied: 20, want: true},
	} {
		inc := state.Incarnation(tc.at / ms)
		g.Received(tc.at, send("b", inc, 1, 7, 0, tc.applied))
		g.Committed(tc.at, 20)
		if got := slices.Contains(g.Grant(tc.at, 20), inc); got != tc.want {
			t.Errorf("at %v with a view of %d: granted %v", tc.at, tc.applied, got)
		}
	}
}

func TestGrantor_countsWhoMayHoldALease(t *testing.T) {
	g := newGrantor("a", "b", "c")
	if !g.Leased(99, settled-1) || g.AppliedByAll(1, settled-1) {
		t.Error("a former leader's leases were forgotten")
	}
	if g.Leased(99, settled) || g.Watermark(settled) != 10 {
		t.Errorf("at last: watermark %d", g.Watermark(settled))
	}
	now := 2 * length
	g.Received(now, send("b", 2, 1, 7, 0, 10))
	g.Received(now, send("c", 3, 0, 7, 0, 0))
	g.Grant(now, 10)
	g.Committed(now, 12)
	if g.AppliedByAll(11, now) {
		t.Error("2 is leased and has not applied 11")
	}
	g.Received(now, send("b", 2, 1, 7, 0, 11))
	if !g.AppliedByAll(11, now) || g.AppliedByAll(12, now) {
		t.Error("who has no lease is waited for, or who has one is not")
	}
	if end := now + settled; !g.Leased(2, end-1) || g.Leased(2, end) || g.Watermark(end) != 12 {
		t.Error("a lease counts until it must have ended, and no longer")
	}
	g.Received(now+settled, send("b", 2, 2, 7, 0, 11))
	g.Grant(now+settled, 12)
	if g.Watermark(now+settled) != 12 {
		t.Error("the watermark fell")
	}
}

func TestGrantor_stoppedAndRetiredInstancesGetNone(t *testing.T) {
	now := 2 * length
	g := newGrantor("a", "b", "c")
	g.Received(now, send("b", 2, 1, 7, 0, 10))
	g.Grant(now, 10)
	m := send("b", 2, 2, 7, 0, 10)
	m.Stopping = true
	g.Received(now, m)
	if g.Leased(2, now) || g.Leased(2, 0) {
		t.Error("a lease that was given back counts")
	}
	if g.Received(now, send("b", 2, 3, 7, 0, 10)); len(g.Grant(now, 10)) > 0 {
		t.Error("one that stops got a lease")
	}

	g.Bar(3, true)
	if g.Received(now, send("c", 3, 1, 7, 0, 10)); len(g.Grant(now, 10)) > 0 {
		t.Error("one that is being retired got a lease")
	}
	if g.Bar(3, false); len(g.Grant(now, 10)) != 1 {
		t.Error("one that is not retired after all got none")
	}
	if at, ok := g.LastReceived(3); !ok || at != now {
		t.Errorf("last heard: %v %v", at, ok)
	}
	if _, ok := g.LastReceived(4); ok {
		t.Error("one that was never heard was")
	}
}

// An instance that is not registered any more, or was removed, gets no lease; it is
// forgotten once its last one must have ended.
func TestGrantor_Live(t *testing.T) {
	g := newGrantor("a", "b", "c")
	g.Received(0, send("b", 2, 1, 7, 0, 10))
	if got := g.Grant(0, 10); !slices.Equal(got, []state.Incarnation{2}) {
		t.Fatalf("granted to %v", got)
	}
	g.Live(0, map[state.Incarnation]bool{1: true, 2: false})
	g.Received(100*ms, send("b", 2, 2, 7, 0, 10))
	if got := g.Grant(100*ms, 10); len(got) > 0 {
		t.Errorf("granted to %v, which was removed", got)
	}
	g.Live(settled-ms, map[state.Incarnation]bool{1: true})
	if _, known := g.LastReceived(2); !known || !g.Leased(2, settled-ms) {
		t.Error("it is forgotten while it may hold a lease")
	}
	g.Live(settled, map[state.Incarnation]bool{1: true})
	if _, known := g.LastReceived(2); known {
		t.Error("one that is retired is kept")
	}
	g.Received(settled, send("b", 2, 3, 7, 0, 10)) // a message that was on its way
	if got := g.Grant(settled, 10); len(got) > 0 {
		t.Errorf("granted to %v, which is retired", got)
	}
}
