package machine

import (
	"errors"
	"slices"
	"testing"

	"praefect/fsm/state"
)

var copying = state.Scope{BoundMillis: 4000, Targets: []string{"gitaly-2", "gitaly-3"}}

// behindRig has a repository that is behind on the secondaries, with no intent.
func behindRig(t *testing.T) *rig {
	t.Helper()
	r := newRig(t, settings)
	r.begin(1, alpha)
	r.end(1, true, true)
	r.pass(settings.Linger)
	return r
}

// repair takes the gate and intents.
func (r *rig) repair(id ID, hold bool) {
	r.t.Helper()
	r.step(Take{Ticket: id, Key: alpha, Hold: hold})
	if d := r.done(id); d.Err != nil {
		r.t.Fatalf("take: %v", d.Err)
	}
	r.step(OpenIntent{Ticket: id, Scope: copying})
	if d := r.done(id); d.Err != nil || d.View != r.state {
		r.t.Fatalf("intent: %+v", d)
	}
}

func TestTicket_markInSyncMakesRepositoryClean(t *testing.T) {
	r := behindRig(t)
	r.repair(10, false)
	r.step(Declare{Ticket: 10, Storages: []string{"gitaly-2", "gitaly-3"}})
	if err := r.done(10).Err; err != nil {
		t.Fatal(err)
	}
	r.step(Release{Ticket: 10, Arrived: true}) // no linger: the intent closes at once
	if entry := r.state.Entry(alpha); entry != nil {
		t.Errorf("entry: %+v", entry)
	}
	r.idle()
}

func TestTicket_isBusy(t *testing.T) {
	for name, test := range map[string]struct {
		before func(r *rig)
		hold   bool
	}{
		"a write is in flight":          {func(r *rig) { r.begin(2, alpha) }, false},
		"another repair":                {func(r *rig) { r.repair(9, false) }, true},
		"something is not in doubt yet": {func(r *rig) { r.begin(2, alpha); r.begin(3, alpha); r.end(2, false, false) }, true},
		"no lease":                      {func(r *rig) { r.step(Session{}) }, false},
		"the instance stops":            {func(r *rig) { r.step(Stop{}) }, false},
		"the incarnation was retired":   {func(r *rig) { r.retire() }, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := behindRig(t)
			test.before(r)
			r.step(Take{Ticket: 10, Key: alpha, Hold: test.hold})
			if r.done(10).Err == nil {
				t.Error("granted")
			}
		})
	}
}

func TestTicket_writeSpoilsOptimisticRepair(t *testing.T) {
	r := behindRig(t)
	r.repair(10, false)
	r.begin(2, alpha)
	if _, ok := r.last[10].(Spoiled); !ok {
		t.Errorf("the ticket does not know of the write: %#v", r.last[10])
	}
	r.step(Declare{Ticket: 10, Storages: []string{"gitaly-2"}})
	if err := r.done(10).Err; !errors.Is(err, ErrSpoiled) {
		t.Errorf("got %v, want ErrSpoiled", err)
	}
	r.end(2, true, true)
	r.step(Release{Ticket: 10, Arrived: true})
	if !r.state.Entry(alpha).IsBehind("gitaly-2") {
		t.Error("declared in sync although a write had begun")
	}
}

func TestTicket_writeThatWaitsDoesNotSpoil(t *testing.T) {
	r := behindRig(t)
	r.repair(10, false)
	r.step(Session{})
	r.begin(2, alpha)
	r.holds(2, WhyLease)
	r.step(Cancel{Write: 2})
	r.step(r.leased())
	r.step(Declare{Ticket: 10, Storages: []string{"gitaly-2"}})
	if err := r.done(10).Err; err != nil {
		t.Error(err)
	}
}

func TestTicket_holdWaitsForWritesAndKeepsNewOnesWaiting(t *testing.T) {
	r := behindRig(t)
	r.begin(2, alpha)
	r.step(Take{Ticket: 10, Key: alpha, Hold: true})
	if len(r.said[10]) != 0 {
		t.Fatal("granted while a write was in flight")
	}
	r.begin(3, alpha)
	r.holds(3, WhyGate)
	r.end(2, true, true)
	if err := r.done(10).Err; err != nil {
		t.Fatal(err)
	}
	r.step(OpenIntent{Ticket: 10, Scope: copying})
	r.step(Declare{Ticket: 10, Storages: []string{"gitaly-2", "gitaly-3"}})
	if err := r.done(10).Err; err != nil {
		t.Fatal(err)
	}
	r.holds(3, WhyGate)
	r.step(Release{Ticket: 10, Arrived: true})
	r.forwarded(3)
	if e := r.state.Entry(alpha); !slices.Equal(e.Behind, []string{"gitaly-2", "gitaly-3"}) {
		t.Errorf("the write after the repair did not account anew: %+v", e)
	}
}

func TestTicket_unholdLetsWritesPassAndSpoil(t *testing.T) {
	r := behindRig(t)
	r.repair(10, true)
	r.begin(2, alpha)
	r.holds(2, WhyGate)
	r.step(Unhold{Ticket: 10})
	r.step(Unhold{Ticket: 10})
	r.forwarded(2)
	r.step(Declare{Ticket: 10, Storages: []string{"gitaly-2"}})
	if err := r.done(10).Err; !errors.Is(err, ErrSpoiled) {
		t.Errorf("got %v, want ErrSpoiled", err)
	}
	r.end(2, true, true)
	r.step(Release{Ticket: 10, Arrived: true})
	r.step(Unhold{Ticket: 10})
	r.pass(settings.Linger)
	r.idle()
}

func TestTicket_unendedCopyLeavesDoubt(t *testing.T) {
	r := behindRig(t)
	r.repair(10, false)
	r.step(Declare{Ticket: 10, Storages: []string{"gitaly-2"}})
	r.step(Release{Ticket: 10})
	e := r.state.Entry(alpha)
	if !e.HasDoubt() || e.HasLive() || !e.IsBehind("gitaly-3") || e.IsBehind("gitaly-2") {
		t.Errorf("entry: %+v", e)
	}
}

func TestTicket_resolveDoubtThenMarkInSync(t *testing.T) {
	r := newRig(t, settings)
	r.begin(1, alpha)
	r.end(1, false, false)
	inDoubt := r.state.Entry(alpha).Intents[0]
	r.repair(10, false)
	r.step(ResolveDoubt{Ticket: 10, Resolution: Resolution{
		Doubts:    []state.DoubtRef{{Incarnation: inDoubt.Incarnation, At: inDoubt.InDoubt.At}},
		Authority: "gitaly-1",
	}})
	if err := r.done(10).Err; err != nil {
		t.Fatal(err)
	}
	r.step(Declare{Ticket: 10, Storages: []string{"gitaly-2", "gitaly-3"}})
	if err := r.done(10).Err; err != nil {
		t.Fatal(err)
	}
	r.step(Release{Ticket: 10, Arrived: true})
	if entry := r.state.Entry(alpha); entry != nil {
		t.Errorf("entry: %+v", entry)
	}
}

// A verdict whose outcome is unknown may be applied at any time later, unless a
// later batch of ours is: the next write must not rely on what it takes back.
func TestTicket_unknownVerdictIsAccountedForAnew(t *testing.T) {
	r := behindRig(t)
	r.begin(2, alpha) // the intent is warm, the ledger says who is behind
	r.end(2, true, true)
	r.repair(10, false)
	r.keep = true
	r.step(Declare{Ticket: 10, Storages: []string{"gitaly-2", "gitaly-3"}})
	late := r.kept[0]
	r.begin(3, alpha)
	r.holds(3, WhyGate)
	r.kept, r.keep = nil, false
	r.step(Answer{Proposal: late.Proposal, Err: errLost})
	if err := r.done(10).Err; !errors.Is(err, ErrUnknown) {
		t.Fatalf("got %v", err)
	}
	before := len(r.applied)
	r.step(Release{Ticket: 10, Arrived: true})
	r.forwarded(3)
	if len(r.applied) == before || !slices.ContainsFunc(r.applied[before], func(c state.Command) bool { return c.MarkBehind != nil }) {
		t.Fatalf("applied: %+v", r.applied[before:])
	}
	if refusal := r.apply(r.own, late.Commands...)[0].Refusal; refusal == nil {
		t.Error("a late verdict was applied while a write was under way")
	}
}

// Nothing is copied while a verdict without an answer may still declare the target
// in sync: the next intent is proposed after it, or in its stead.
func TestTicket_unknownVerdictComesBeforeTheNextIntent(t *testing.T) {
	r := behindRig(t)
	r.repair(10, false)
	r.keep = true
	r.step(Declare{Ticket: 10, Storages: []string{"gitaly-2", "gitaly-3"}})
	late := r.kept[0]
	r.kept = nil
	r.step(Answer{Proposal: late.Proposal, Err: errLost})
	r.step(Release{Ticket: 10, Arrived: true})
	r.step(Take{Ticket: 11, Key: alpha})
	r.step(OpenIntent{Ticket: 11, Scope: copying})
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
func TestTicket_releasedWhileProposing(t *testing.T) {
	r := behindRig(t)
	r.repair(10, false)
	r.keep = true
	r.step(Declare{Ticket: 10, Storages: []string{"gitaly-2", "gitaly-3"}})
	r.step(Release{Ticket: 10, Arrived: true})
	r.begin(2, alpha)
	r.holds(2, "")
	r.answerKept()
	r.forwarded(2)
	if e := r.state.Entry(alpha); !slices.Equal(e.Behind, []string{"gitaly-2", "gitaly-3"}) {
		t.Errorf("entry: %+v", e)
	}
}

func TestTicket_leaseIsLookedAtWhenTheIntentIsOpen(t *testing.T) {
	r := behindRig(t)
	r.step(Take{Ticket: 10, Key: alpha})
	r.keep = true
	r.step(OpenIntent{Ticket: 10, Scope: copying})
	r.step(Session{})
	r.answerKept()
	if err := r.done(10).Err; !errors.Is(err, ErrBusy) {
		t.Errorf("got %v, want ErrBusy", err)
	}
	r.step(Release{Ticket: 10, Arrived: true})
	r.pass(settings.Linger)
	r.idle()
}

// What ended with full account under the same intent is in no doubt.
func TestTicket_unendedCopyDoubtsItsTargetsOnly(t *testing.T) {
	r := behindRig(t)
	r.repair(10, false)
	r.step(Declare{Ticket: 10, Storages: []string{"gitaly-2"}})
	r.step(Release{Ticket: 10, Doubtful: []string{"gitaly-3"}})
	e := r.state.Entry(alpha)
	if got := e.Intents[0].InDoubt; got == nil || !slices.Equal(got.Targets, []string{"gitaly-3"}) {
		t.Errorf("entry: %+v, in doubt: %+v", e, got)
	}
}

// A repair that waited for a write which ended without full account copies nothing
// from a source that the write may yet change.
func TestTicket_isNotGrantedWhenAWriteEndsInDoubt(t *testing.T) {
	r := behindRig(t)
	r.begin(2, alpha)
	r.forwarded(2)
	r.step(Take{Ticket: 10, Key: alpha, Hold: true})
	r.end(2, false, false)
	if err := r.done(10).Err; !errors.Is(err, ErrBusy) {
		t.Errorf("got %v", err)
	}
}

// Writes that vote do not keep an intent primary-only for ever, under which all reads
// go to the primary.
func TestMachine_primaryOnlyIntentEndsBesideWritesThatVote(t *testing.T) {
	r := newVotingRig(t)
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
