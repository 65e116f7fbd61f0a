package machine

import (
	"slices"
	"testing"

	"praefect/fsm/state"
)

func TestMachine_closeIsNotOvertaken(t *testing.T) {
	r := newFixture(t, settings)
	r.begin(1, alpha)
	r.end(1, true, true)
	r.keep = true
	r.pass(settings.Linger)
	if len(r.kept) != 1 || r.kept[0].Commands[0].Close == nil {
		t.Fatalf("proposed: %+v", r.kept)
	}
	r.begin(2, alpha)
	r.queued(2, "")
	r.answerKept()
	r.forwarded(2)
	if !r.state.Entry(alpha).HasPrimaryOnly() {
		t.Error("the close undid the newer intent")
	}
}

func TestMachine_unansweredCloseIsRepeated(t *testing.T) {
	r := newFixture(t, settings)
	r.begin(1, alpha)
	r.end(1, true, true)
	r.keep = true
	for range 3 {
		r.pass(settings.Linger)
		if len(r.kept) != 1 {
			t.Fatalf("proposed: %+v", r.kept)
		}
		r.step(Answer{Proposal: r.kept[0].Proposal, Err: errLost})
		r.kept = nil
	}
	r.keep = false
	r.pass(settings.Linger)
	if e := r.state.Entry(alpha); e.HasLive() || !e.HasDoubt() {
		t.Errorf("entry: %+v", e)
	}
	r.idle()
}

func TestMachine_unknownIntentEndsInDoubt(t *testing.T) {
	for name, applied := range map[string]bool{"applied": true, "not applied": false} {
		t.Run(name, func(t *testing.T) {
			r := newFixture(t, settings)
			r.keep = true
			r.begin(1, alpha)
			if applied {
				r.apply(r.own, r.kept[0].Commands...)
			}
			r.keep = false
			r.step(Answer{Proposal: r.kept[0].Proposal, Err: errLost})
			r.rejected(1, ErrUnknown)
			r.rejected(1, errLost)
			if e := r.state.Entry(alpha); e.HasLive() || e.HasDoubt() != applied {
				t.Errorf("entry: %+v", e)
			}
			r.idle()
		})
	}
}

// TestMachine_reliesOnNoIntentThatMayBeGone has a close without an answer, which may
// yet be applied: a write that comes then needs an intent of its own.
func TestMachine_reliesOnNoIntentThatMayBeGone(t *testing.T) {
	r := newFixture(t, settings)
	r.begin(1, alpha)
	r.end(1, true, true)
	r.keep = true
	r.pass(settings.Linger)
	r.step(Answer{Proposal: r.kept[0].Proposal, Err: errLost})
	r.apply(r.own, r.kept[0].Commands...)
	r.kept = nil
	r.begin(2, alpha)
	if len(r.kept) != 1 || r.kept[0].Commands[0].Open == nil {
		t.Fatalf("proposed %+v, want an intent", r.kept)
	}
	r.answerKept()
	r.forwarded(2)
}

// TestMachine_reliesOnNoScopeThatMayBeMissing has an intent whose opening has no
// answer, and was not applied: the next one, for a copy, covers no write.
func TestMachine_reliesOnNoScopeThatMayBeMissing(t *testing.T) {
	r := newFixture(t, settings)
	r.keep = true
	r.step(Acquire{Guard: 10, Key: alpha})
	r.step(OpenIntent{Guard: 10, Scope: state.Scope{BoundMillis: 8000, Targets: []string{"gitaly-1"}}})
	r.step(Answer{Proposal: r.kept[0].Proposal, Err: errLost})
	r.kept = nil
	r.step(OpenIntent{Guard: 10, Scope: copying})
	r.answerKept()
	r.begin(1, alpha)
	r.forwarded(1)
	if intent := r.state.Entry(alpha).Live(r.own); !slices.Contains(intent.Targets, "gitaly-1") {
		t.Errorf("intent: %+v", intent)
	}
}

func TestMachine_endedWithoutStatusIsInDoubtAtOnce(t *testing.T) {
	r := newFixture(t, settings)
	r.begin(1, alpha)
	r.begin(2, alpha)
	r.end(1, false, false)
	if !r.state.Entry(alpha).HasLive() {
		t.Fatal("the intent closed while a write was in flight")
	}
	r.end(2, true, true)
	if e := r.state.Entry(alpha); e.HasLive() || !e.HasDoubt() {
		t.Errorf("entry: %+v", e)
	}
	r.idle()
}

func TestMachine_stopClosesIdleIntents(t *testing.T) {
	r := newFixture(t, settings)
	r.begin(1, alpha)
	r.end(1, true, true)
	r.keep = true
	r.step(Stop{})
	if r.m.Stopped() || len(r.kept) != 1 {
		t.Fatalf("proposed: %+v", r.kept)
	}
	r.answerKept()
	if !r.m.Stopped() {
		t.Error("not stopped")
	}
	r.begin(2, alpha)
	r.rejected(2, ErrStopping)
	r.idle()
}
