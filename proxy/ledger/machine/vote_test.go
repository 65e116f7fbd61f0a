package machine

import (
	"errors"
	"slices"
	"testing"

	"praefect/fsm/state"
	"praefect/proxy/router"
)

var everybody = []string{"gitaly-1", "gitaly-2", "gitaly-3"}

// newVotingFixture has storages that vote.
func newVotingFixture(t *testing.T) *fixture {
	r := newFixture(t, settings)
	r.reach()
	return r
}

// reach brings connections to all storages but those named, over which they vote.
func (r *fixture) reach(except ...string) {
	var reach []Connection
	for i, name := range storages {
		reach = append(reach, Connection{VirtualStorage: "default", Storage: name, Generation: uint64(i + 1), Reachability: router.Reachability{
			OK: !slices.Contains(except, name), FilesystemID: "disk of " + name, Backchannel: true,
		}})
	}
	r.step(Connections{Storages: reach})
}

func (r *fixture) beginVoting(id ID, keys ...state.Key) Forward {
	r.t.Helper()
	r.step(Begin{Write: id, Keys: keys, Votes: true, Scope: state.Scope{BoundMillis: 64000, RefsOnly: true}, Bytes: 100})
	f := r.forwarded(id)
	if !f.Votes {
		r.t.Fatalf("write %d does not vote: %+v", id, f)
	}
	return f
}

// vote has votes allowed, and returns why they are not.
func (r *fixture) vote(id ID, agreeing ...string) error {
	r.t.Helper()
	before := len(r.allowed)
	r.step(Vote{Write: id, Agreeing: agreeing})
	if len(r.allowed) != before+1 || r.allowed[before].Write != id {
		r.t.Fatalf("write %d: allowed %+v", id, r.allowed[before:])
	}
	return r.allowed[before].Err
}

func (r *fixture) endVoting(id ID, e Ended) error {
	r.t.Helper()
	e.Write = id
	r.step(e)
	f, ok := r.last[id].(Finish)
	if !ok {
		r.t.Fatalf("write %d: got %#v, want a Finish", id, r.last[id])
	}
	return f.Err
}

func TestVote_ofAllCommitsNothingButTheIntent(t *testing.T) {
	r := newVotingFixture(t)
	f := r.beginVoting(1, alpha)
	if f.Storage != "gitaly-1" || len(f.Others) != 2 || f.Others[1] != (Destination{"gitaly-3", 3}) {
		t.Errorf("forward: %+v", f)
	}
	if e := r.state.Entry(alpha); e != nil {
		t.Errorf("entry before the first vote: %+v", e)
	}
	if err := r.vote(1, everybody...); err != nil {
		t.Error(err)
	}
	intent := r.state.Entry(alpha).Live(r.own)
	if intent.Kind != state.Open || intent.BoundMillis != settings.VoteBound.Milliseconds() || !slices.Equal(intent.Targets, everybody) {
		t.Errorf("intent: %+v", intent)
	}
	if err := r.vote(1, everybody...); err != nil {
		t.Error(err)
	}
	if err := r.endVoting(1, Ended{Succeeded: true, Arrived: true, Agreeing: everybody}); err != nil {
		t.Error(err)
	}
	r.beginVoting(2, alpha)
	if err := r.vote(2, everybody...); err != nil {
		t.Error(err)
	}
	if err := r.endVoting(2, Ended{Succeeded: true, Arrived: true, Agreeing: everybody}); err != nil {
		t.Error(err)
	}
	if len(r.applied) != 1 || len(r.repairs) != 0 {
		t.Errorf("applied %d batches, repairs %v", len(r.applied), r.repairs)
	}
	r.pass(settings.Linger)
	if e := r.state.Entry(alpha); e != nil {
		t.Errorf("entry: %+v", e)
	}
	r.idle()
}

func TestVote_whoDoesNotAgreeIsBehindBeforeTheRelease(t *testing.T) {
	r := newVotingFixture(t)
	r.beginVoting(1, alpha)
	r.keep = true
	r.step(Vote{Write: 1, Agreeing: []string{"gitaly-1", "gitaly-2"}})
	if len(r.allowed) != 0 || len(r.kept) != 1 || !slices.Equal(r.kept[0].Commands[1].MarkBehind.Agreeing, []string{"gitaly-1", "gitaly-2"}) {
		t.Fatalf("allowed %v, proposed %+v", r.allowed, r.kept)
	}
	s := r.leased()
	s.Watermark = r.state.Index
	r.m.watermark = 0
	r.step(s)
	r.answerKept()
	if len(r.allowed) != 0 {
		t.Fatal("allowed below the watermark")
	}
	s.Watermark = r.state.Index
	r.step(s)
	if len(r.allowed) != 1 || r.allowed[0].Err != nil {
		t.Fatalf("allowed %v", r.allowed)
	}
	if err := r.endVoting(1, Ended{Succeeded: true, Arrived: true, Agreeing: []string{"gitaly-1", "gitaly-2"}}); err != nil {
		t.Error(err)
	}
	if e := r.state.Entry(alpha); !slices.Equal(e.Behind, []string{"gitaly-3"}) || !slices.Equal(r.repairs, []state.Key{alpha}) {
		t.Errorf("entry %+v, repairs %v", e, r.repairs)
	}
}

func TestVote_whoIsNoDestinationIsAccountedFor(t *testing.T) {
	r := newVotingFixture(t)
	r.fence("gitaly-3")
	r.admit("gitaly-3")
	r.catchUp()
	r.reach("gitaly-2")
	if f := r.beginVoting(1, alpha); len(f.Others) != 0 {
		t.Errorf("forward: %+v", f)
	}
	if err := r.vote(1, "gitaly-1"); err != nil {
		t.Error(err)
	}
	if e := r.state.Entry(alpha); !slices.Equal(e.Behind, []string{"gitaly-2", "gitaly-3"}) {
		t.Errorf("behind: %v", e.Behind)
	}
}

func TestVote_destinationThatEndsUnlikeThePrimary(t *testing.T) {
	r := newVotingFixture(t)
	r.beginVoting(1, alpha)
	r.vote(1, everybody...)
	r.keep = true
	r.step(Ended{Write: 1, Succeeded: true, Arrived: true, Agreeing: []string{"gitaly-1", "gitaly-3"}})
	if _, finished := r.last[1].(Finish); finished {
		t.Fatal("the status is passed on before the account")
	}
	r.answerKept()
	if f, ok := r.last[1].(Finish); !ok || f.Err != nil {
		t.Fatalf("got %#v", r.last[1])
	}
	if e := r.state.Entry(alpha); !slices.Equal(e.Behind, []string{"gitaly-2"}) || e.HasDoubt() {
		t.Errorf("entry: %+v", e)
	}
}

func TestVote_failedWriteThatChangedNothingLeavesNothing(t *testing.T) {
	for _, arrived := range []bool{true, false} {
		r := newVotingFixture(t)
		r.beginVoting(1, alpha)
		if err := r.endVoting(1, Ended{Arrived: arrived}); err != nil {
			t.Error(err)
		}
		r.pass(settings.Linger)
		if e := r.state.Entry(alpha); e != nil || len(r.repairs) != 0 {
			t.Errorf("arrived %v: entry %+v, repairs %v", arrived, e, r.repairs)
		}
		r.idle()
	}
}

func TestVote_failedWriteAfterARelease(t *testing.T) {
	r := newVotingFixture(t)
	r.beginVoting(1, alpha)
	r.vote(1, everybody...)
	if err := r.endVoting(1, Ended{Arrived: true, Agreeing: everybody}); err != nil {
		t.Error(err) // the client gets the storage's error
	}
	r.pass(settings.Linger)
	if e := r.state.Entry(alpha); !e.HasDoubt() || len(e.Behind) > 0 {
		t.Errorf("entry: %+v", e)
	}

	r = newVotingFixture(t)
	r.beginVoting(1, alpha)
	r.vote(1, everybody...)
	r.endVoting(1, Ended{Arrived: false})
	r.pass(settings.Linger)
	if e := r.state.Entry(alpha); !e.HasDoubt() {
		t.Errorf("entry: %+v", e)
	}
}

func TestVote_succeededWithoutAVote(t *testing.T) {
	r := newVotingFixture(t)
	r.beginVoting(1, alpha)
	if err := r.endVoting(1, Ended{Succeeded: true, Arrived: true, Agreeing: []string{"gitaly-1"}}); err != nil {
		t.Error(err)
	}
	if e := r.state.Entry(alpha); !slices.Equal(e.Behind, []string{"gitaly-2", "gitaly-3"}) {
		t.Errorf("entry: %+v", e)
	}
}

func TestVote_fenceOfThePrimaryReleasesNothing(t *testing.T) {
	r := newVotingFixture(t)
	r.beginVoting(1, alpha)
	r.fence("gitaly-1")
	r.catchUp()
	if err := r.vote(1, everybody...); !errors.Is(err, ErrDoomed) {
		t.Errorf("got %v", err)
	}
	if err := r.endVoting(1, Ended{Succeeded: false, Arrived: false}); !errors.Is(err, ErrDoomed) {
		t.Errorf("got %v", err)
	}
	r.pass(settings.Linger)
	if e := r.state.Entry(alpha); e != nil {
		t.Errorf("entry: %+v", e)
	}
}

func TestVote_fenceOfAnotherIsDropped(t *testing.T) {
	r := newVotingFixture(t)
	r.beginVoting(1, alpha)
	r.fence("gitaly-2")
	r.catchUp()
	if len(r.drops) != 1 || r.drops[0].Storage != "gitaly-2" {
		t.Fatalf("drops: %+v", r.drops)
	}
	// It has agreed before, and counts no longer.
	if err := r.vote(1, everybody...); err != nil {
		t.Error(err)
	}
	if e := r.state.Entry(alpha); !slices.Equal(e.Behind, []string{"gitaly-2"}) {
		t.Errorf("entry: %+v", e)
	}
}

func TestVote_awaitsTheLease(t *testing.T) {
	r := newVotingFixture(t)
	r.beginVoting(1, alpha)
	r.step(Session{Watermark: 1 << 40})
	r.step(Vote{Write: 1, Agreeing: everybody})
	if len(r.allowed) != 0 {
		t.Fatal("allowed without a lease")
	}
	r.step(r.leased())
	if len(r.allowed) != 1 || r.allowed[0].Err != nil {
		t.Fatalf("allowed %+v", r.allowed)
	}
	r.step(Session{Watermark: 1 << 40})
	r.step(Vote{Write: 1, Agreeing: everybody})
	r.pass(settings.LeaseWait)
	if len(r.allowed) != 2 || !errors.Is(r.allowed[1].Err, ErrNoLease) {
		t.Fatalf("allowed %+v", r.allowed)
	}
}

func TestVote_endOfTheWriteAnswersIt(t *testing.T) {
	r := newVotingFixture(t)
	r.beginVoting(1, alpha)
	r.keep = true
	r.step(Vote{Write: 1, Agreeing: []string{"gitaly-1"}})
	r.step(Ended{Write: 1})
	if len(r.allowed) != 1 || r.allowed[0].Err == nil {
		t.Fatalf("allowed %+v", r.allowed)
	}
	r.answerKept()
	r.pass(settings.Linger)
	r.idle()
}

func TestVote_accountWithoutAnswerReleasesNothing(t *testing.T) {
	r := newVotingFixture(t)
	r.beginVoting(1, alpha)
	r.keep = true
	r.step(Vote{Write: 1, Agreeing: []string{"gitaly-1"}})
	r.step(Answer{Proposal: r.kept[0].Proposal, Err: errLost})
	if len(r.allowed) != 1 || !errors.Is(r.allowed[0].Err, errLost) {
		t.Fatalf("allowed %+v", r.allowed)
	}
	if err := r.endVoting(1, Ended{Arrived: true}); err != nil {
		t.Errorf("got %v", err)
	}
	// The intent is there, or not: it is closed as if something was left under it.
	r.answerKept()
	r.pass(settings.Linger)
	if e := r.state.Entry(alpha); !e.HasDoubt() {
		t.Errorf("entry: %+v", e)
	}
}

func TestVote_storagesWithoutAChannelDoNotVote(t *testing.T) {
	r := newFixture(t, settings)
	r.step(Begin{Write: 1, Keys: []state.Key{alpha}, Votes: true, Scope: state.Scope{BoundMillis: 4000}})
	f := r.forwarded(1)
	if f.Votes || len(f.Others) != 0 || !r.state.Entry(alpha).HasPrimaryOnly() {
		t.Errorf("forward %+v, entry %+v", f, r.state.Entry(alpha))
	}
}

func TestVote_openIntentBecomesPrimaryOnly(t *testing.T) {
	r := newVotingFixture(t)
	r.beginVoting(1, alpha)
	r.vote(1, everybody...)
	r.begin(2, alpha)
	if f := r.forwarded(2); f.Votes || !r.state.Entry(alpha).HasPrimaryOnly() {
		t.Errorf("forward %+v, entry %+v", f, r.state.Entry(alpha))
	}
	// The first has all the others behind by now, and votes on.
	if err := r.vote(1, everybody...); err != nil {
		t.Error(err)
	}
}

func TestNotSent_withAnAccountUnderWay(t *testing.T) {
	r := newVotingFixture(t)
	r.beginVoting(1, alpha)
	r.keep = true
	r.step(Vote{Write: 1, Agreeing: []string{"gitaly-1", "gitaly-2"}})
	r.step(NotSent{Write: 1})
	said := len(r.said[1])
	r.step(Cancel{Write: 1})
	r.pass(settings.QueueTimeout)
	r.answerKept()
	r.reach()
	if len(r.said[1]) != said {
		t.Errorf("a write that its client gave up is answered with %#v", r.last[1])
	}
	r.keep = false
	r.pass(settings.Linger)
	r.idle()
}

// switchover is what a leader does for `praefectctl promote`.
func (r *fixture) switchover(passed ...string) {
	r.t.Helper()
	epoch := func() uint64 { return r.state.VirtualStorage("default").Epoch }
	r.must(r.other, state.Command{Fence: &state.Fence{VirtualStorage: "default", Storages: passed, Why: state.WhySwitchover, Epoch: epoch()}})
	r.catchUp()
	var admissions []state.Admission
	for _, name := range passed {
		admissions = append(admissions, state.Admission{Storage: name, As: state.Serving, FilesystemID: "disk of " + name})
	}
	r.must(r.other, state.Command{Admit: &state.Admit{VirtualStorage: "default", Epoch: epoch(), Storages: admissions}})
	r.catchUp()
}

// TestVote_slowWriteKeepsNoSwitchoverWaiting has a write whose content takes its
// time: the pause does not count it, the primary changes, and it is voted on with
// the new one.
func TestVote_slowWriteKeepsNoSwitchoverWaiting(t *testing.T) {
	r := newVotingFixture(t)
	r.beginVoting(1, alpha)
	r.pauseWrites(false)
	if h := r.report.PauseReports; len(h) != 1 || h[0].InFlight+h[0].Intents != 0 {
		t.Fatalf("report: %+v", h)
	}
	r.step(Vote{Write: 1, Agreeing: everybody})
	if len(r.allowed) != 0 {
		t.Fatal("allowed under the pause")
	}
	r.goesOnAfterSwitchover()
}

// goesOnAfterSwitchover ends a pause by a switchover: the first write, which waits with its vote, goes on
// with the new primary, and leaves nothing behind.
func (r *fixture) goesOnAfterSwitchover() {
	r.t.Helper()
	r.switchover("gitaly-1")
	if len(r.allowed) != 0 {
		r.t.Fatal("allowed under the pause")
	}
	r.step(r.leased())
	if len(r.allowed) != 1 || r.allowed[0].Err != nil {
		r.t.Fatalf("allowed: %+v", r.allowed)
	}
	if err := r.endVoting(1, Ended{Succeeded: true, Arrived: true, Agreeing: everybody}); err != nil {
		r.t.Error(err)
	}
	r.pass(settings.Linger)
	if e := r.state.Entry(alpha); e != nil {
		r.t.Errorf("entry: %+v", e)
	}
	r.idle()
}

func TestVote_newPrimaryMustAgree(t *testing.T) {
	r := newVotingFixture(t)
	r.beginVoting(1, alpha)
	r.switchover("gitaly-1")
	if err := r.vote(1, "gitaly-1", "gitaly-3"); !errors.Is(err, ErrRerouted) {
		t.Errorf("got %v", err)
	}
	if err := r.vote(1, "gitaly-1", "gitaly-2"); err != nil {
		t.Error(err)
	}
	if e := r.state.Entry(alpha); !slices.Equal(e.Behind, []string{"gitaly-3"}) {
		t.Errorf("entry: %+v", e)
	}
}

func TestVote_newPrimaryGoesAWayOfItsOwn(t *testing.T) {
	r := newVotingFixture(t)
	r.beginVoting(1, alpha)
	r.switchover("gitaly-1")
	if err := r.vote(1, everybody...); err != nil {
		t.Error(err)
	}
	if err := r.endVoting(1, Ended{Succeeded: true, Arrived: true, Agreeing: []string{"gitaly-1", "gitaly-3"}}); !errors.Is(err, ErrRerouted) {
		t.Errorf("got %v", err)
	}
	for _, batch := range r.applied {
		for _, cmd := range batch {
			if cmd.MarkBehind != nil {
				t.Errorf("wrote %+v", cmd.MarkBehind)
			}
		}
	}
	r.pass(settings.Linger)
	if e := r.state.Entry(alpha); !e.HasDoubt() {
		t.Errorf("entry: %+v", e)
	}
}

func TestVote_newPrimaryMustBeADestination(t *testing.T) {
	r := newVotingFixture(t)
	r.reach("gitaly-2")
	r.beginVoting(1, alpha)
	r.switchover("gitaly-1")
	if err := r.vote(1, "gitaly-1", "gitaly-3"); !errors.Is(err, ErrRerouted) {
		t.Errorf("got %v", err)
	}
	if err := r.endVoting(1, Ended{Arrived: true}); !errors.Is(err, ErrRerouted) {
		t.Errorf("got %v", err)
	}
	r.pass(settings.Linger)
	if e := r.state.Entry(alpha); e != nil {
		t.Errorf("entry: %+v", e)
	}
	r.idle()
}

func TestVote_whoCameInSyncMeanwhileIsAccountedFor(t *testing.T) {
	r := newVotingFixture(t)
	r.fence("gitaly-3")
	r.admit("gitaly-3")
	r.catchUp()
	r.beginVoting(1, alpha)
	r.must(r.other, state.Command{Rejoin: &state.Rejoin{VirtualStorage: "default", Storage: "gitaly-3", FilesystemID: "disk of gitaly-3"}})
	if err := r.vote(1, "gitaly-1", "gitaly-2"); err != nil {
		t.Error(err)
	}
	if e := r.state.Entry(alpha); !slices.Equal(e.Behind, []string{"gitaly-3"}) {
		t.Errorf("entry: %+v", e)
	}
}

func TestVote_repairKeepsTheVoteWaiting(t *testing.T) {
	r := newVotingFixture(t)
	r.beginVoting(1, alpha)
	r.step(Acquire{Guard: 9, Key: alpha, Pause: true})
	if d := r.done(9); d.Err != nil {
		t.Fatalf("the repair waits for a write without a vote: %v", d.Err)
	}
	r.step(Vote{Write: 1, Agreeing: everybody})
	if len(r.allowed) != 0 {
		t.Fatal("allowed beside a repair that holds the repository")
	}
	r.step(Free{Guard: 9, Arrived: true})
	if len(r.allowed) != 1 || r.allowed[0].Err != nil {
		t.Fatalf("allowed: %+v", r.allowed)
	}
}
