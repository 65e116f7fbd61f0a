package machine

import (
	"testing"

	"praefect/fsm/routing"
	"praefect/fsm/state"
)

// pauseWrites has the leader pause the writes of the virtual storage.
func (r *fixture) pauseWrites(serving bool) {
	s := r.leased()
	s.WritePauses = []routing.WritePause{{ID: "promote", VirtualStorage: "default", Serving: serving, Until: r.now + 8*second}}
	r.step(s)
}

// TestPrepare_underAHold has a write come under the pause of a promotion: it is sent,
// waits with its first vote, and goes on at once when the pause ends, with the new
// primary. The switchover waits neither for it nor for an intent of it.
func TestPrepare_underAHold(t *testing.T) {
	r := newVotingFixture(t)
	r.pauseWrites(true)
	if f := r.beginVoting(1, alpha); f.Storage != "gitaly-1" || len(f.Others) != 2 {
		t.Errorf("forward: %+v", f)
	}
	r.step(Vote{Write: 1, Agreeing: everybody})
	if h := r.report.PauseReports; len(h) != 1 || h[0].InFlight+h[0].Intents != 0 || r.state.Entry(alpha) != nil {
		t.Errorf("report: %+v, entry %+v", h, r.state.Entry(alpha))
	}
	r.goesOnAfterSwitchover()
}

// TestPrepare_notUnderEveryHold: what would be lost with a storage that goes, or
// could be in the way of what the pause waits for, or has its effect at once, waits
// unsent.
func TestPrepare_notUnderEveryHold(t *testing.T) {
	for _, tc := range []struct {
		name  string
		set   func(r *fixture)
		begin Begin
		sent  bool
	}{
		{"of a promotion", func(r *fixture) { r.pauseWrites(true) }, Begin{Votes: true}, true},
		{"of a drain", func(r *fixture) { r.pauseWrites(false) }, Begin{Votes: true}, false},
		{"it does not vote", func(r *fixture) { r.pauseWrites(true) }, Begin{}, false},
		{"it removes the repository", func(r *fixture) { r.pauseWrites(true) }, Begin{Votes: true, Deletes: true}, false},
		{"the storages do not vote", func(r *fixture) {
			for i, name := range storages {
				key := storageName{"default", name}
				deaf := *r.m.connections[key]
				deaf.Backchannel, deaf.Generation = false, uint64(i+10)
				r.m.connections[key] = &deaf
			}
			r.pauseWrites(true)
		}, Begin{Votes: true}, false},
		{"beside a write that has not voted", func(r *fixture) {
			r.beginVoting(2, alpha)
			r.pauseWrites(true)
		}, Begin{Votes: true}, true},
		{"beside a write under way", func(r *fixture) {
			r.beginVoting(2, alpha)
			if err := r.vote(2, everybody...); err != nil {
				t.Error(err)
			}
			r.pauseWrites(true)
		}, Begin{Votes: true}, false},
		{"beside one under way at another instance", func(r *fixture) {
			r.must(r.other, state.Command{Open: &state.OpenIntent{
				VirtualStorage: "default", Paths: []string{alpha.RelativePath}, Kind: state.Open,
				Scope: state.Scope{BoundMillis: 10000, Targets: everybody},
			}})
			r.catchUp()
			r.pauseWrites(true)
		}, Begin{Votes: true}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newVotingFixture(t)
			tc.set(r)
			tc.begin.Write, tc.begin.Keys = 1, []state.Key{alpha}
			r.step(tc.begin)
			if !tc.sent {
				r.queued(1, WhyPause)
				r.step(r.leased())
			}
			r.forwarded(1)
		})
	}
}

// TestPrepare_beforeADrain has a write that was sent before a drain begins, and has its
// first vote under the pause: the drain waits for it, and it ends well on the storage
// that leaves. A write that comes later waits for the successor.
func TestPrepare_beforeADrain(t *testing.T) {
	r := newVotingFixture(t)
	r.beginVoting(1, alpha)
	s := r.leased()
	s.WritePauses = []routing.WritePause{{ID: "drain", VirtualStorage: "default", Leaving: "gitaly-1", Until: r.now + 8*second}}
	r.step(s)
	inFlight := func(want int) {
		t.Helper()
		if h := r.report.PauseReports; len(h) != 1 || h[0].InFlight != want {
			t.Fatalf("report: %+v, want %d in flight", h, want)
		}
	}
	inFlight(1)
	r.step(Begin{Write: 2, Keys: []state.Key{beta}, Votes: true, Scope: state.Scope{BoundMillis: 64000, RefsOnly: true}, Bytes: 100})
	r.queued(2, WhyPause)
	inFlight(1)
	if err := r.vote(1, everybody...); err != nil {
		t.Fatal(err)
	}
	inFlight(1)
	if err := r.endVoting(1, Ended{Succeeded: true, Arrived: true, Agreeing: everybody}); err != nil {
		t.Error(err)
	}
	inFlight(0)
	if h := r.report.PauseReports; h[0].Intents != 0 {
		t.Errorf("report: %+v", h)
	}
	r.fence("gitaly-1")
	r.catchUp()
	r.step(r.leased())
	r.pass(settings.Linger)
}

// TestPrepare_drainOfAnotherStorage has no drain of a secondary wait for a write that
// has had no vote yet: it loses that destination, and goes on.
func TestPrepare_drainOfAnotherStorage(t *testing.T) {
	r := newVotingFixture(t)
	r.beginVoting(1, alpha)
	s := r.leased()
	s.WritePauses = []routing.WritePause{{ID: "drain", VirtualStorage: "default", Leaving: "gitaly-3", Until: r.now + 8*second}}
	r.step(s)
	if h := r.report.PauseReports; len(h) != 1 || h[0].InFlight+h[0].Intents != 0 {
		t.Fatalf("report: %+v", h)
	}
	r.fence("gitaly-3")
	r.catchUp()
	r.step(r.leased())
	if err := r.vote(1, "gitaly-1", "gitaly-2"); err != nil {
		t.Error(err)
	}
	if err := r.endVoting(1, Ended{Succeeded: true, Arrived: true, Agreeing: []string{"gitaly-1", "gitaly-2"}}); err != nil {
		t.Error(err)
	}
	r.pass(settings.Linger)
}
