package machine

import (
	"testing"

	"praefect/fsm/state"
)

// hold has the leader hold the writes of the virtual storage.
func (r *rig) hold(serving bool) {
	s := r.leased()
	s.Holds = []Hold{{ID: "promote", VirtualStorage: "default", Serving: serving, Until: r.now + 8*second}}
	r.step(s)
}

// TestPrepare_underAHold has a write come under the hold of a promotion: it is sent,
// waits with its first vote, and goes on at once when the hold ends, with the new
// primary. The switchover waits neither for it nor for an intent of it.
func TestPrepare_underAHold(t *testing.T) {
	r := newVotingRig(t)
	r.hold(true)
	if f := r.beginVoting(1, alpha); f.Storage != "gitaly-1" || len(f.Others) != 2 {
		t.Errorf("forward: %+v", f)
	}
	r.step(Vote{Write: 1, Agreeing: everybody})
	if h := r.report.Holding; len(h) != 1 || h[0].InFlight+h[0].Intents != 0 || r.state.Entry(alpha) != nil {
		t.Errorf("report: %+v, entry %+v", h, r.state.Entry(alpha))
	}
	r.switchover("gitaly-1")
	if len(r.released) != 0 {
		t.Fatal("released under the hold")
	}
	r.step(r.leased())
	if len(r.released) != 1 || r.released[0].Err != nil {
		t.Fatalf("released: %+v", r.released)
	}
	if err := r.endVoting(1, Ended{Succeeded: true, Arrived: true, Agreeing: everybody}); err != nil {
		t.Error(err)
	}
	r.pass(settings.Linger)
	r.idle()
}

// TestPrepare_notUnderEveryHold: what would be lost with a storage that goes, or
// could be in the way of what the hold waits for, or has its effect at once, waits
// unsent.
func TestPrepare_notUnderEveryHold(t *testing.T) {
	for _, tc := range []struct {
		name  string
		set   func(r *rig)
		begin Begin
		sent  bool
	}{
		{"of a promotion", func(r *rig) { r.hold(true) }, Begin{Votes: true}, true},
		{"of a drain", func(r *rig) { r.hold(false) }, Begin{Votes: true}, false},
		{"it does not vote", func(r *rig) { r.hold(true) }, Begin{}, false},
		{"it removes the repository", func(r *rig) { r.hold(true) }, Begin{Votes: true, Deletes: true}, false},
		{"the storages do not vote", func(r *rig) {
			for i, name := range storages {
				key := storageName{"default", name}
				deaf := *r.m.reach[key]
				deaf.Backchannel, deaf.Generation = false, uint64(i+10)
				r.m.reach[key] = &deaf
			}
			r.hold(true)
		}, Begin{Votes: true}, false},
		{"beside a write that has not voted", func(r *rig) {
			r.beginVoting(2, alpha)
			r.hold(true)
		}, Begin{Votes: true}, true},
		{"beside a write under way", func(r *rig) {
			r.beginVoting(2, alpha)
			if err := r.vote(2, everybody...); err != nil {
				t.Error(err)
			}
			r.hold(true)
		}, Begin{Votes: true}, false},
		{"beside one under way at another instance", func(r *rig) {
			r.must(r.other, state.Command{Open: &state.OpenIntent{
				VirtualStorage: "default", Paths: []string{alpha.RelativePath}, Kind: state.Open,
				Scope: state.Scope{BoundMillis: 10000, Targets: everybody},
			}})
			r.catchUp()
			r.hold(true)
		}, Begin{Votes: true}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newVotingRig(t)
			tc.set(r)
			tc.begin.Write, tc.begin.Keys = 1, []state.Key{alpha}
			r.step(tc.begin)
			if !tc.sent {
				r.holds(1, WhyHold)
				r.step(r.leased())
			}
			r.forwarded(1)
		})
	}
}
