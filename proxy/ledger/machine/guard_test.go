package machine

import (
	"errors"
	"slices"
	"testing"

	"praefect/fsm/repair"
	"praefect/fsm/state"
)

var copying = state.Scope{BoundMillis: 4000, Targets: []string{"gitaly-2", "gitaly-3"}}

// behindFixture has a repository that is behind on the secondaries, with no intent.
func behindFixture(t *testing.T) *fixture {
	t.Helper()
	r := newFixture(t, settings)
	r.begin(1, alpha)
	r.end(1, true, true)
	r.pass(settings.Linger)
	return r
}

// repair takes the repair lock and intents.
func (r *fixture) repair(id ID, pause bool) {
	r.t.Helper()
	r.step(Acquire{Guard: id, Key: alpha, Pause: pause})
	if d := r.done(id); d.Err != nil {
		r.t.Fatalf("take: %v", d.Err)
	}
	r.step(OpenIntent{Guard: id, Scope: copying})
	if d := r.done(id); d.Err != nil || d.View != r.state {
		r.t.Fatalf("intent: %+v", d)
	}
}

func TestGuard_markInSyncMakesRepositoryClean(t *testing.T) {
	r := behindFixture(t)
	r.repair(10, false)
	r.step(Declare{Guard: 10, Storages: []string{"gitaly-2", "gitaly-3"}})
	if err := r.done(10).Err; err != nil {
		t.Fatal(err)
	}
	r.step(Free{Guard: 10, Arrived: true}) // no linger: the intent closes at once
	if entry := r.state.Entry(alpha); entry != nil {
		t.Errorf("entry: %+v", entry)
	}
	r.idle()
}

func TestGuard_isBusy(t *testing.T) {
	for name, test := range map[string]struct {
		before func(r *fixture)
		pause  bool
	}{
		"a write is in flight":          {func(r *fixture) { r.begin(2, alpha) }, false},
		"another repair":                {func(r *fixture) { r.repair(9, false) }, true},
		"something is not in doubt yet": {func(r *fixture) { r.begin(2, alpha); r.begin(3, alpha); r.end(2, false, false) }, true},
		"no lease":                      {func(r *fixture) { r.step(Session{}) }, false},
		"the instance stops":            {func(r *fixture) { r.step(Stop{}) }, false},
		"the incarnation was retired":   {func(r *fixture) { r.retire() }, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := behindFixture(t)
			test.before(r)
			r.step(Acquire{Guard: 10, Key: alpha, Pause: test.pause})
			if r.done(10).Err == nil {
				t.Error("granted")
			}
		})
	}
}

func TestGuard_writeInvalidatesOptimisticRepair(t *testing.T) {
	r := behindFixture(t)
	r.repair(10, false)
	r.begin(2, alpha)
	if _, ok := r.last[10].(Invalidated); !ok {
		t.Errorf("the guard does not know of the write: %#v", r.last[10])
	}
	r.step(Declare{Guard: 10, Storages: []string{"gitaly-2"}})
	if err := r.done(10).Err; !errors.Is(err, repair.ErrInvalidated) {
		t.Errorf("got %v, want ErrInvalidated", err)
	}
	r.end(2, true, true)
	r.step(Free{Guard: 10, Arrived: true})
	if !r.state.Entry(alpha).IsBehind("gitaly-2") {
		t.Error("declared in sync although a write had begun")
	}
}

func TestGuard_writeThatWaitsDoesNotInvalidate(t *testing.T) {
	r := behindFixture(t)
	r.repair(10, false)
	r.step(Session{})
	r.begin(2, alpha)
	r.queued(2, WhyLease)
	r.step(Cancel{Write: 2})
	r.step(r.leased())
	r.step(Declare{Guard: 10, Storages: []string{"gitaly-2"}})
	if err := r.done(10).Err; err != nil {
		t.Error(err)
	}
}

func TestGuard_holdWaitsForWritesAndKeepsNewOnesWaiting(t *testing.T) {
	r := behindFixture(t)
	r.begin(2, alpha)
	r.step(Acquire{Guard: 10, Key: alpha, Pause: true})
	if len(r.said[10]) != 0 {
		t.Fatal("granted while a write was in flight")
	}
	r.begin(3, alpha)
	r.queued(3, WhyRepairLock)
	r.end(2, true, true)
	if err := r.done(10).Err; err != nil {
		t.Fatal(err)
	}
	r.step(OpenIntent{Guard: 10, Scope: copying})
	r.step(Declare{Guard: 10, Storages: []string{"gitaly-2", "gitaly-3"}})
	if err := r.done(10).Err; err != nil {
		t.Fatal(err)
	}
	r.queued(3, WhyRepairLock)
	r.step(Free{Guard: 10, Arrived: true})
	r.forwarded(3)
	if e := r.state.Entry(alpha); !slices.Equal(e.Behind, []string{"gitaly-2", "gitaly-3"}) {
		t.Errorf("the write after the repair did not account again: %+v", e)
	}
}

func TestGuard_resumeLetsWritesPassAndInvalidate(t *testing.T) {
	r := behindFixture(t)
	r.repair(10, true)
	r.begin(2, alpha)
	r.queued(2, WhyRepairLock)
	r.step(Resume{Guard: 10})
	r.step(Resume{Guard: 10})
	r.forwarded(2)
	r.step(Declare{Guard: 10, Storages: []string{"gitaly-2"}})
	if err := r.done(10).Err; !errors.Is(err, repair.ErrInvalidated) {
		t.Errorf("got %v, want ErrInvalidated", err)
	}
	r.end(2, true, true)
	r.step(Free{Guard: 10, Arrived: true})
	r.step(Resume{Guard: 10})
	r.pass(settings.Linger)
	r.idle()
}

func TestGuard_unendedCopyLeavesDoubt(t *testing.T) {
	r := behindFixture(t)
	r.repair(10, false)
	r.step(Declare{Guard: 10, Storages: []string{"gitaly-2"}})
	r.step(Free{Guard: 10})
	e := r.state.Entry(alpha)
	if !e.HasDoubt() || e.HasLive() || !e.IsBehind("gitaly-3") || e.IsBehind("gitaly-2") {
		t.Errorf("entry: %+v", e)
	}
}

func TestGuard_resolveDoubtThenMarkInSync(t *testing.T) {
	r := newFixture(t, settings)
	r.begin(1, alpha)
	r.end(1, false, false)
	inDoubt := r.state.Entry(alpha).Intents[0]
	r.repair(10, false)
	r.step(ResolveDoubt{Guard: 10, Resolution: repair.Resolution{
		Doubts:    []state.DoubtRef{{Incarnation: inDoubt.Incarnation, At: inDoubt.InDoubt.At}},
		Authority: "gitaly-1",
	}})
	if err := r.done(10).Err; err != nil {
		t.Fatal(err)
	}
	r.step(Declare{Guard: 10, Storages: []string{"gitaly-2", "gitaly-3"}})
	if err := r.done(10).Err; err != nil {
		t.Fatal(err)
	}
	r.step(Free{Guard: 10, Arrived: true})
	if entry := r.state.Entry(alpha); entry != nil {
		t.Errorf("entry: %+v", entry)
	}
}

// A conclusion whose outcome is unknown may be applied at any time later, unless a
// later batch of ours is: the next write must not rely on what it takes back.
func TestGuard_unknownConclusionIsAccountedForAnew(t *testing.T) {
	r := behindFixture(t)
	r.begin(2, alpha) // the intent is warm, the ledger says which storage is behind
	r.end(2, true, true)
	r.repair(10, false)
	r.keep = true
	r.step(Declare{Guard: 10, Storages: []string{"gitaly-2", "gitaly-3"}})
	late := r.kept[0]
	r.begin(3, alpha)
	r.queued(3, WhyRepairLock)
	r.kept, r.keep = nil, false
	r.step(Answer{Proposal: late.Proposal, Err: errLost})
	if err := r.done(10).Err; !errors.Is(err, ErrUnknown) {
		t.Fatalf("got %v", err)
	}
	before := len(r.applied)
	r.step(Free{Guard: 10, Arrived: true})
	r.forwarded(3)
	if len(r.applied) == before || !slices.ContainsFunc(r.applied[before], func(c state.Command) bool { return c.MarkBehind != nil }) {
		t.Fatalf("applied: %+v", r.applied[before:])
	}
	if refusal := r.apply(r.own, late.Commands...)[0].Refusal; refusal == nil {
		t.Error("a late conclusion was applied while a write was under way")
	}
}

// Nothing is copied while a conclusion without an answer may still declare the target
// in sync: the next intent is proposed after it, or in its stead.
func TestGuard_unknownConclusionComesBeforeTheNextIntent(t *testing.T) {
	r := behindFixture(t)
	r.repair(10, false)
	r.keep = true
	r.step(Declare{Guard: 10, Storages: []string{"gitaly-2", "gitaly-3"}})
	late := r.kept[0]
	r.kept = nil
	r.step(Answer{Proposal: late.Proposal, Err: errLost})
	r.step(Free{Guard: 10, Arrived: true})
	r.step(Acquire{Guard: 11, Key: alpha})
	r.step(OpenIntent{Guard: 11, Scope: copying})
	if len(r.kept) != 1 || r.kept[0].Commands[0].Open == nil {
		t.Fatalf("proposed: %+v, want an intent", r.kept)
	}
	r.apply(r.own, late.Commands...)
	r.answerKept()
	if e := r.done(11).View.Entry(alpha); e.IsBehind("gitaly-2") {
		t.Errorf("the intent was answered with %v", e)
	}
}

// What a repair asked for and gave up on is under way all the same.
func TestGuard_releasedWhileProposing(t *testing.T) {
	r := behindFixture(t)
	r.repair(10, false)
	r.keep = true
	r.step(Declare{Guard: 10, Storages: []string{"gitaly-2", "gitaly-3"}})
	r.step(Free{Guard: 10, Arrived: true})
	r.begin(2, alpha)
	r.queued(2, "")
	r.answerKept()
	r.forwarded(2)
	if e := r.state.Entry(alpha); !slices.Equal(e.Behind, []string{"gitaly-2", "gitaly-3"}) {
		t.Errorf("entry: %+v", e)
	}
}

func TestGuard_leaseIsLookedAtWhenTheIntentIsOpen(t *testing.T) {
	r := behindFixture(t)
	r.step(Acquire{Guard: 10, Key: alpha})
	r.keep = true
	r.step(OpenIntent{Guard: 10, Scope: copying})
	r.step(Session{})
	r.answerKept()
	if err := r.done(10).Err; !errors.Is(err, repair.ErrRepositoryBusy) {
		t.Errorf("got %v, want ErrRepositoryBusy", err)
	}
	r.step(Free{Guard: 10, Arrived: true})
	r.pass(settings.Linger)
	r.idle()
}

// What ended with full account under the same intent is in no doubt.
func TestGuard_unendedCopyDoubtsItsTargetsOnly(t *testing.T) {
	r := behindFixture(t)
	r.repair(10, false)
	r.step(Declare{Guard: 10, Storages: []string{"gitaly-2"}})
	r.step(Free{Guard: 10, Doubtful: []string{"gitaly-3"}})
	e := r.state.Entry(alpha)
	if got := e.Intents[0].InDoubt; got == nil || !slices.Equal(got.Targets, []string{"gitaly-3"}) {
		t.Errorf("entry: %+v, in doubt: %+v", e, got)
	}
}

// A repair that waited for a write which ended without full account copies nothing
// from a source that the write may yet change.
func TestGuard_isNotGrantedWhenAWriteEndsInDoubt(t *testing.T) {
	r := behindFixture(t)
	r.begin(2, alpha)
	r.forwarded(2)
	r.step(Acquire{Guard: 10, Key: alpha, Pause: true})
	r.end(2, false, false)
	if err := r.done(10).Err; !errors.Is(err, repair.ErrRepositoryBusy) {
		t.Errorf("got %v", err)
	}
}

// Writes that vote do not keep an intent primary-only permanently, under which all reads
// go to the primary.
func TestMachine_primaryOnlyIntentEndsBesideWritesThatVote(t *testing.T) {
	r := newVotingFixture(t)
	r.begin(1, alpha) // it does not vote
	r.end(1, true, true)
	for id := ID(2); id < 10; id++ {
		r.pass(settings.Linger * 9 / 10)
		r.beginVoting(id, alpha)
		if err := r.vote(id, "gitaly-1"); err != nil {
			t.Fatal(err)
		}
		if err := r.endVoting(id, Ended{Succeeded: true, Arrived: true, Agreeing: []string{"gitaly-1"}}); err != nil {
			t.Fatal(err)
		}
	}
	if e := r.state.Entry(alpha); e.HasPrimaryOnly() {
		t.Errorf("entry: %+v", e)
	}
}
