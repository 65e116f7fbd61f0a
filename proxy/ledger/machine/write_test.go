package machine

import (
	"slices"
	"testing"

	"praefect/fsm/state"
)

func TestMachine_intentsAndAccountsBeforeTheForward(t *testing.T) {
	r := newFixture(t, settings)
	r.keep = true
	r.begin(1, alpha)
	r.queued(1, "")
	if len(r.kept) != 1 || len(r.kept[0].Commands) != 2 || r.kept[0].Commands[0].Open == nil || r.kept[0].Commands[1].MarkBehind == nil {
		t.Fatalf("proposed: %+v", r.kept)
	}
	r.answerKept()
	f := r.forwarded(1)
	if f.Storage != "gitaly-1" || f.Generation != 1 || f.At != r.now {
		t.Errorf("forward: %+v", f)
	}
	entry := r.state.Entry(alpha)
	if !entry.HasPrimaryOnly() || !slices.Equal(entry.Behind, []string{"gitaly-2", "gitaly-3"}) {
		t.Errorf("entry: %+v", entry)
	}
	if err := r.end(1, true, true); err != nil {
		t.Errorf("finish: %v", err)
	}
	if !slices.Equal(r.repairs, []state.Key{alpha}) {
		t.Errorf("to be repaired: %v", r.repairs)
	}
	r.pass(settings.Linger)
	if e := r.state.Entry(alpha); e.HasLive() || e.HasDoubt() {
		t.Errorf("entry after the linger: %+v", e)
	}
	r.idle()
}

func TestMachine_warmIntentForwardsInOneStep(t *testing.T) {
	r := newFixture(t, settings)
	r.begin(1, alpha)
	r.end(1, true, true)
	r.pass(settings.Linger - 1)
	before := len(r.applied)
	effects := r.m.Step(r.now, Begin{Write: 2, Keys: []state.Key{alpha}, Scope: state.Scope{BoundMillis: 4000, RefsOnly: true}})
	if len(effects) != 1 || len(r.applied) != before {
		t.Fatalf("effects: %#v", effects)
	}
	if _, ok := effects[0].(Forward); !ok {
		t.Errorf("effects: %#v", effects)
	}
	r.end(2, true, true)
	if len(r.repairs) != 1 {
		t.Errorf("a write that changed nothing in the ledger asks for a repair: %v", r.repairs)
	}
}

func TestMachine_widensIntent(t *testing.T) {
	r := newFixture(t, settings)
	r.begin(1, alpha)
	r.step(Begin{Write: 2, Keys: []state.Key{alpha}, Scope: state.Scope{BoundMillis: 16000}})
	r.forwarded(2)
	if intent := r.state.Entry(alpha).Live(r.own); intent.BoundMillis != 16000 || intent.RefsOnly {
		t.Errorf("intent: %+v", intent)
	}
}

func TestMachine_awaitsTheWatermark(t *testing.T) {
	r := newFixture(t, settings)
	s := r.leased()
	s.Watermark = r.state.Index
	r.m.watermark = 0
	r.step(s)
	r.begin(1, alpha)
	r.queued(1, "")
	s.Watermark = r.state.Index - 1
	r.step(s)
	r.queued(1, "")
	s.Watermark = r.state.Index
	r.step(s)
	r.forwarded(1)
}

func TestMachine_awaitsTheWatermarkOfOthersShrinking(t *testing.T) {
	r := newFixture(t, settings)
	r.begin(1, alpha)
	s := r.leased()
	s.Watermark = r.state.Index
	r.m.watermark = 0
	r.step(s)
	r.end(1, true, true)
	// gitaly-3 leaves; nobody may read there any more once a write is visible.
	r.fence("gitaly-3")
	r.admit("gitaly-3")
	r.catchUp()
	r.begin(2, alpha)
	r.queued(2, "")
	s.Watermark = r.state.Index
	r.step(s)
	r.forwarded(2)
}

func TestMachine_twoRepositoriesInOneCommand(t *testing.T) {
	r := newFixture(t, settings)
	r.begin(1, beta, alpha, beta)
	r.forwarded(1)
	if len(r.applied) != 1 || len(r.applied[0][0].Open.Paths) != 2 || len(r.applied[0][1].MarkBehind.Paths) != 2 {
		t.Errorf("batches: %+v", r.applied)
	}
	if writes, intents := r.m.InFlight(); writes != 1 || intents != 2 {
		t.Errorf("in flight: %d writes, %d intents", writes, intents)
	}
	r.end(1, true, true)
	r.pass(settings.Linger)
	r.idle()
}

func TestMachine_oneProposalARepository(t *testing.T) {
	r := newFixture(t, settings)
	r.keep = true
	for id := range ID(3) {
		r.begin(id, alpha)
	}
	r.begin(3, alpha, beta)
	if len(r.kept) != 1 {
		t.Fatalf("proposed: %+v", r.kept)
	}
	r.answerKept()
	for id := range ID(4) {
		r.forwarded(id)
	}
	if len(r.applied) != 2 { // the last one opens an intent on b.git, too
		t.Errorf("applied: %+v", r.applied)
	}
}

func TestMachine_canceledWriteLeavesItsIntent(t *testing.T) {
	r := newFixture(t, settings)
	r.keep = true
	r.begin(1, alpha)
	r.step(Cancel{Write: 1})
	r.answerKept()
	if len(r.said[1]) != 0 || !slices.Equal(r.repairs, []state.Key{alpha}) {
		t.Errorf("said %v, to be repaired %v", r.said[1], r.repairs)
	}
	r.pass(settings.Linger)
	if e := r.state.Entry(alpha); e.HasLive() || e.HasDoubt() {
		t.Errorf("entry: %+v", e)
	}
	r.idle()
}

func TestMachine_refusedAccountIsRoutedAnew(t *testing.T) {
	r := newFixture(t, settings)
	r.keep = true
	r.begin(1, alpha)
	r.fence("gitaly-1")
	r.admit("gitaly-1")
	r.answerKept()
	if f := r.forwarded(1); f.Storage != "gitaly-2" {
		t.Errorf("forward: %+v", f)
	}
}

func TestMachine_deleteIsTakenBackAfterTheEffect(t *testing.T) {
	r := newFixture(t, settings)
	r.step(Begin{Write: 1, Keys: []state.Key{alpha}, Scope: state.Scope{BoundMillis: 8000}, Deletes: true})
	r.forwarded(1)
	if !r.state.Entry(alpha).Deleted {
		t.Error("a delete is not in the ledger before its effect")
	}
	r.end(1, true, true)
	r.begin(2, alpha)
	r.end(2, false, true)
	if !r.state.Entry(alpha).Deleted {
		t.Error("a create that failed took the delete back")
	}
	r.begin(3, alpha)
	r.end(3, true, true)
	if r.state.Entry(alpha).Deleted {
		t.Error("a create that succeeded did not take the delete back")
	}
}

func TestMachine_deleteUnderWayIsNotTakenBack(t *testing.T) {
	begin := func(r *fixture, id ID, deletes bool) {
		r.step(Begin{Write: id, Keys: []state.Key{alpha}, Scope: state.Scope{BoundMillis: 8000}, Deletes: deletes})
		r.forwarded(id)
	}
	for name, act := range map[string]func(r *fixture){
		"begun before": func(r *fixture) { begin(r, 1, true); begin(r, 2, false); r.end(1, true, true); r.end(2, true, true) },
		"begun after":  func(r *fixture) { begin(r, 2, false); begin(r, 1, true); r.end(1, true, true); r.end(2, true, true) },
		"ends after":   func(r *fixture) { begin(r, 2, false); begin(r, 1, true); r.end(2, true, true); r.end(1, true, true) },
		"of another life": func(r *fixture) {
			begin(r, 1, true)
			r.end(1, true, false)
			r.pass(0)
			begin(r, 2, false)
			r.end(2, true, true)
		},
		"of another instance": func(r *fixture) {
			begin(r, 1, true)
			r.end(1, true, true)
			r.must(r.other, state.Command{Open: &state.OpenIntent{VirtualStorage: "default", Paths: []string{alpha.RelativePath}, Kind: state.PrimaryOnly}})
			r.catchUp()
			begin(r, 2, false)
			r.end(2, true, true)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newFixture(t, settings)
			act(r)
			if !r.state.Entry(alpha).Deleted {
				t.Error("a delete was taken back whose effect may be the last one")
			}
		})
	}
}
