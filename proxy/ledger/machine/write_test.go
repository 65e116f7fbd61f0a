package machine

import (
	"errors"
	"slices"
	"testing"
	"time"

	"praefect/fsm/state"
	"praefect/proxy/router"
)

func TestMachine_marksAndAccountsBeforeTheForward(t *testing.T) {
	r := newRig(t, settings)
	r.keep = true
	r.begin(1, alpha)
	r.holds(1, "")
	if len(r.kept) != 1 || len(r.kept[0].Commands) != 2 || r.kept[0].Commands[0].Open == nil || r.kept[0].Commands[1].Wrote == nil {
		t.Fatalf("proposed: %+v", r.kept)
	}
	r.answerKept()
	f := r.forwarded(1)
	if f.Storage != "gitaly-1" || f.Generation != 1 || f.At != r.now {
		t.Errorf("forward: %+v", f)
	}
	entry := r.state.Entry(alpha)
	if !entry.HasSolo() || !slices.Equal(entry.Behind, []string{"gitaly-2", "gitaly-3"}) {
		t.Errorf("entry: %+v", entry)
	}
	if err := r.end(1, true, true); err != nil {
		t.Errorf("finish: %v", err)
	}
	if !slices.Equal(r.repairs, []state.Key{alpha}) {
		t.Errorf("to be repaired: %v", r.repairs)
	}
	r.pass(settings.Linger)
	if e := r.state.Entry(alpha); e.HasLive() || e.HasDirty() {
		t.Errorf("entry after the linger: %+v", e)
	}
	r.idle()
}

func TestMachine_warmMarkForwardsInOneStep(t *testing.T) {
	r := newRig(t, settings)
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

func TestMachine_widensMark(t *testing.T) {
	r := newRig(t, settings)
	r.begin(1, alpha)
	r.step(Begin{Write: 2, Keys: []state.Key{alpha}, Scope: state.Scope{BoundMillis: 16000}})
	r.forwarded(2)
	if mark := r.state.Entry(alpha).Live(r.own); mark.BoundMillis != 16000 || mark.RefsOnly {
		t.Errorf("mark: %+v", mark)
	}
}

func TestMachine_awaitsTheWatermark(t *testing.T) {
	r := newRig(t, settings)
	s := r.leased()
	s.Watermark = r.state.Index
	r.m.watermark = 0
	r.step(s)
	r.begin(1, alpha)
	r.holds(1, "")
	s.Watermark = r.state.Index - 1
	r.step(s)
	r.holds(1, "")
	s.Watermark = r.state.Index
	r.step(s)
	r.forwarded(1)
}

func TestMachine_awaitsTheWatermarkOfOthersShrinking(t *testing.T) {
	r := newRig(t, settings)
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
	r.holds(2, "")
	s.Watermark = r.state.Index
	r.step(s)
	r.forwarded(2)
}

func TestMachine_withoutLeaseWritesWait(t *testing.T) {
	for name, test := range map[string]struct {
		then func(r *rig)
		want error
	}{
		"it comes":                 {func(r *rig) { r.step(r.leased()) }, nil},
		"it does not":              {func(r *rig) { r.pass(settings.LeaseWait) }, ErrNoLease},
		"it is for a newer view":   {func(r *rig) { s := r.leased(); s.Lease.Index++; r.step(s); r.pass(settings.LeaseWait) }, ErrNoLease},
		"it is retired":            {func(r *rig) { r.retire() }, ErrRetired},
		"the instance stops":       {func(r *rig) { r.step(Stop{}) }, ErrStopping},
		"it comes with a new view": {func(r *rig) { s := r.leased(); s.Lease.Index++; r.step(s); r.must(r.other, nothing()); r.catchUp() }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, settings)
			r.step(Session{Lease: Lease{Until: r.now + second}, Watermark: 1 << 40})
			r.pass(second) // and it ends by itself
			r.begin(1, alpha)
			r.holds(1, WhyLease)
			test.then(r)
			if test.want == nil {
				r.forwarded(1)
			} else {
				r.rejected(1, test.want)
			}
		})
	}
}

// nothing is a command that changes nothing.
func nothing() state.Command {
	return state.Command{Define: &state.Define{VirtualStorage: "default", Storages: storages}}
}

// retire has our incarnation replaced.
func (r *rig) retire() {
	next := r.must(0, state.Command{Register: &state.Register{ID: "a", Name: "praefect-1"}})
	r.must(r.other, state.Command{Retire: &state.Retire{Incarnation: r.own, Successor: next}})
	r.catchUp()
}

func TestMachine_asksForTheLeaseAgainAtTheForward(t *testing.T) {
	r := newRig(t, settings)
	r.step(Session{Lease: Lease{Until: r.now + second}, Watermark: 1 << 40})
	r.keep = true
	r.begin(1, alpha)
	r.pass(second)
	r.answerKept()
	r.holds(1, WhyLease)
	if writes, _ := r.m.InFlight(); writes != 0 {
		t.Error("a write that waits for a lease counts as in flight")
	}
	r.step(r.leased())
	if f := r.forwarded(1); f.At != r.now {
		t.Errorf("dated at %v, want %v", f.At, r.now)
	}
}

func TestMachine_statusNeedsALease(t *testing.T) {
	r := newRig(t, settings)
	r.step(Session{Lease: Lease{Until: r.now + second}, Watermark: 1 << 40})
	r.begin(1, alpha)
	r.begin(2, beta)
	r.pass(second)
	if err := r.end(1, true, true); !errors.Is(err, ErrDoomed) {
		t.Errorf("a success without a lease: %v", err)
	}
	if err := r.end(2, false, true); err != nil {
		t.Errorf("a failure without a lease: %v", err)
	}
	r.step(Tick{})
	if !r.state.Entry(alpha).HasDirty() || r.state.Entry(beta).HasDirty() {
		t.Errorf("entries: %+v, %+v", r.state.Entry(alpha), r.state.Entry(beta))
	}
}

func TestMachine_fenceDoomsBeforeItIsReported(t *testing.T) {
	r := newRig(t, settings)
	r.begin(1, alpha)
	r.fence("gitaly-1")
	r.begin(2, alpha) // by the view before the fence
	r.forwarded(2)
	start := len(r.log)
	r.catchUp()
	var order []string
	for _, e := range r.log[start:] {
		switch e := e.(type) {
		case Doom:
			order = append(order, "doom")
		case Report:
			order = append(order, "report")
			if e.Applied != r.state.Index {
				t.Errorf("reported %d, want %d", e.Applied, r.state.Index)
			}
		}
	}
	if !slices.Equal(order, []string{"doom", "doom", "report"}) {
		t.Errorf("order: %v", order)
	}
	for id := range ID(2) {
		if err := r.end(id+1, true, true); !errors.Is(err, ErrDoomed) {
			t.Errorf("status of a doomed write: %v", err)
		}
	}
	if !r.state.Entry(alpha).HasDirty() {
		t.Errorf("entry: %+v", r.state.Entry(alpha))
	}
}

func TestMachine_doomedWriteStaysDoomedWhenTheStorageServesAgain(t *testing.T) {
	r := newRig(t, settings)
	r.begin(1, alpha)
	r.fence("gitaly-1")
	r.must(r.other, state.Command{Admit: &state.Admit{VirtualStorage: "default", Epoch: r.state.VirtualStorage("default").Epoch,
		Storages: []state.Admission{{Storage: "gitaly-1", As: state.Serving, FilesystemID: "disk of gitaly-1"}}}})
	r.catchUp() // both at once
	if err := r.end(1, true, true); !errors.Is(err, ErrDoomed) {
		t.Errorf("status: %v", err)
	}
}

func TestMachine_heldWritesGoToTheSuccessor(t *testing.T) {
	r := newRig(t, settings)
	r.fence("gitaly-1")
	r.catchUp()
	r.begin(1, alpha)
	r.begin(2, beta)
	r.holds(1, WhyFenced)
	r.pass(second)
	r.admit("gitaly-1")
	r.catchUp()
	for id := range ID(2) {
		if f := r.forwarded(id + 1); f.Storage != "gitaly-2" {
			t.Errorf("forward: %+v", f)
		}
	}
}

func TestMachine_unreachablePrimaryHolds(t *testing.T) {
	r := newRig(t, settings)
	reach := func(generation uint64, disk string) Reach {
		return Reach{Storages: []Reached{{VirtualStorage: "default", Storage: "gitaly-1", Generation: generation,
			Reach: router.Reach{OK: generation > 0, FilesystemID: disk}}}}
	}
	r.step(reach(0, ""))
	r.begin(1, alpha)
	r.holds(1, WhyUnreachable)
	r.step(reach(7, "another disk"))
	r.holds(1, WhyUnreachable)
	r.step(reach(8, "disk of gitaly-1"))
	if f := r.forwarded(1); f.Generation != 8 {
		t.Errorf("forward: %+v", f)
	}
	said := len(r.said[1])
	r.step(NotSent{Write: 1})
	if len(r.said[1]) != said {
		t.Errorf("a write whose connection is gone does not wait: %#v", r.last[1])
	}
	r.step(reach(9, "disk of gitaly-1"))
	if f := r.forwarded(1); f.Generation != 9 {
		t.Errorf("forward: %+v", f)
	}
	r.step(NotSent{Write: 1})
	r.pass(settings.HoldTimeout)
	r.rejected(1, ErrHeld)
}

func TestMachine_boundsTheWait(t *testing.T) {
	for name, cfg := range map[string]Config{
		"by number": {HoldTimeout: 10 * second, HoldLimit: 3},
		"by bytes":  {HoldTimeout: 10 * second, HoldLimit: 1000, HoldBytes: 399},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, cfg)
			r.fence("gitaly-1")
			r.catchUp()
			for id := range ID(4) {
				r.begin(id, state.Key{VirtualStorage: "default", RelativePath: string(rune('a'+id)) + ".git"})
			}
			r.holds(2, WhyFenced)
			r.rejected(3, ErrHeld)
			r.step(Cancel{Write: 0})
			r.begin(4, alpha)
			r.holds(4, WhyFenced)
			r.pass(cfg.HoldTimeout)
			r.rejected(4, ErrHeld)
			r.idle()
		})
	}
}

func TestMachine_nowhereToGo(t *testing.T) {
	r := newRig(t, settings)
	r.begin(1, state.Key{VirtualStorage: "other", RelativePath: "a.git"})
	var refusal *router.Refusal
	if rejected, ok := r.last[1].(Reject); !ok || !errors.As(rejected.Err, &refusal) || refusal.Kind != router.UnknownVirtualStorage {
		t.Errorf("unknown virtual storage: %#v", r.last[1])
	}
	r.begin(2, alpha) // on gitaly-1 only, from here on
	r.end(2, true, true)
	r.fence("gitaly-1")
	r.admit("gitaly-1")
	r.catchUp()
	r.begin(3, alpha)
	if rejected, ok := r.last[3].(Reject); !ok || !errors.As(rejected.Err, &refusal) || refusal.Kind != router.NoPrimary {
		t.Errorf("unavailable repository: %#v", r.last[3])
	}
	r.pass(settings.Linger)
	r.idle()
}

func TestMachine_twoRepositoriesInOneCommand(t *testing.T) {
	r := newRig(t, settings)
	r.begin(1, beta, alpha, beta)
	r.forwarded(1)
	if len(r.applied) != 1 || len(r.applied[0][0].Open.Paths) != 2 || len(r.applied[0][1].Wrote.Paths) != 2 {
		t.Errorf("batches: %+v", r.applied)
	}
	if writes, marks := r.m.InFlight(); writes != 1 || marks != 2 {
		t.Errorf("in flight: %d writes, %d marks", writes, marks)
	}
	r.end(1, true, true)
	r.pass(settings.Linger)
	r.idle()
}

func TestMachine_oneProposalARepository(t *testing.T) {
	r := newRig(t, settings)
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
	if len(r.applied) != 2 { // the last one marks b.git, too
		t.Errorf("applied: %+v", r.applied)
	}
}

func TestMachine_closeIsNotOvertaken(t *testing.T) {
	r := newRig(t, settings)
	r.begin(1, alpha)
	r.end(1, true, true)
	r.keep = true
	r.pass(settings.Linger)
	if len(r.kept) != 1 || r.kept[0].Commands[0].Close == nil {
		t.Fatalf("proposed: %+v", r.kept)
	}
	r.begin(2, alpha)
	r.holds(2, "")
	r.answerKept()
	r.forwarded(2)
	if !r.state.Entry(alpha).HasSolo() {
		t.Error("the close undid the newer mark")
	}
}

func TestMachine_unansweredCloseIsRepeated(t *testing.T) {
	r := newRig(t, settings)
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
	if e := r.state.Entry(alpha); e.HasLive() || !e.HasDirty() {
		t.Errorf("entry: %+v", e)
	}
	r.idle()
}

func TestMachine_unknownMarkEndsDirty(t *testing.T) {
	for name, applied := range map[string]bool{"applied": true, "not applied": false} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, settings)
			r.keep = true
			r.begin(1, alpha)
			if applied {
				r.apply(r.own, r.kept[0].Commands...)
			}
			r.keep = false
			r.step(Answer{Proposal: r.kept[0].Proposal, Err: errLost})
			r.rejected(1, ErrUnknown)
			r.rejected(1, errLost)
			if e := r.state.Entry(alpha); e.HasLive() || e.HasDirty() != applied {
				t.Errorf("entry: %+v", e)
			}
			r.idle()
		})
	}
}

// TestMachine_reliesOnNoMarkThatMayBeGone has a close without an answer, which may
// yet be applied: a write that comes then needs a mark of its own.
func TestMachine_reliesOnNoMarkThatMayBeGone(t *testing.T) {
	r := newRig(t, settings)
	r.begin(1, alpha)
	r.end(1, true, true)
	r.keep = true
	r.pass(settings.Linger)
	r.step(Answer{Proposal: r.kept[0].Proposal, Err: errLost})
	r.apply(r.own, r.kept[0].Commands...)
	r.kept = nil
	r.begin(2, alpha)
	if len(r.kept) != 1 || r.kept[0].Commands[0].Open == nil {
		t.Fatalf("proposed %+v, want a mark", r.kept)
	}
	r.answerKept()
	r.forwarded(2)
}

// TestMachine_reliesOnNoScopeThatMayBeMissing has a mark whose opening has no
// answer, and was not applied: the next one, for a copy, covers no write.
func TestMachine_reliesOnNoScopeThatMayBeMissing(t *testing.T) {
	r := newRig(t, settings)
	r.keep = true
	r.step(Take{Ticket: 10, Key: alpha})
	r.step(Mark{Ticket: 10, Scope: state.Scope{BoundMillis: 8000, Targets: []string{"gitaly-1"}}})
	r.step(Answer{Proposal: r.kept[0].Proposal, Err: errLost})
	r.kept = nil
	r.step(Mark{Ticket: 10, Scope: copying})
	r.answerKept()
	r.begin(1, alpha)
	r.forwarded(1)
	if mark := r.state.Entry(alpha).Live(r.own); !slices.Contains(mark.Targets, "gitaly-1") {
		t.Errorf("mark: %+v", mark)
	}
}

func TestMachine_canceledWriteLeavesItsMark(t *testing.T) {
	r := newRig(t, settings)
	r.keep = true
	r.begin(1, alpha)
	r.step(Cancel{Write: 1})
	r.answerKept()
	if len(r.said[1]) != 0 || !slices.Equal(r.repairs, []state.Key{alpha}) {
		t.Errorf("said %v, to be repaired %v", r.said[1], r.repairs)
	}
	r.pass(settings.Linger)
	if e := r.state.Entry(alpha); e.HasLive() || e.HasDirty() {
		t.Errorf("entry: %+v", e)
	}
	r.idle()
}

func TestMachine_refusedAccountIsRoutedAnew(t *testing.T) {
	r := newRig(t, settings)
	r.keep = true
	r.begin(1, alpha)
	r.fence("gitaly-1")
	r.admit("gitaly-1")
	r.answerKept()
	if f := r.forwarded(1); f.Storage != "gitaly-2" {
		t.Errorf("forward: %+v", f)
	}
}

func TestMachine_endedWithoutStatusIsDirtyAtOnce(t *testing.T) {
	r := newRig(t, settings)
	r.begin(1, alpha)
	r.begin(2, alpha)
	r.end(1, false, false)
	if !r.state.Entry(alpha).HasLive() {
		t.Fatal("the mark closed while a write was in flight")
	}
	r.end(2, true, true)
	if e := r.state.Entry(alpha); e.HasLive() || !e.HasDirty() {
		t.Errorf("entry: %+v", e)
	}
	r.idle()
}

func TestMachine_deleteIsTakenBackAfterTheEffect(t *testing.T) {
	r := newRig(t, settings)
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
	begin := func(r *rig, id ID, deletes bool) {
		r.step(Begin{Write: id, Keys: []state.Key{alpha}, Scope: state.Scope{BoundMillis: 8000}, Deletes: deletes})
		r.forwarded(id)
	}
	for name, act := range map[string]func(r *rig){
		"begun before": func(r *rig) { begin(r, 1, true); begin(r, 2, false); r.end(1, true, true); r.end(2, true, true) },
		"begun after":  func(r *rig) { begin(r, 2, false); begin(r, 1, true); r.end(1, true, true); r.end(2, true, true) },
		"ends after":   func(r *rig) { begin(r, 2, false); begin(r, 1, true); r.end(2, true, true); r.end(1, true, true) },
		"of another life": func(r *rig) {
			begin(r, 1, true)
			r.end(1, true, false)
			r.pass(0)
			begin(r, 2, false)
			r.end(2, true, true)
		},
		"of another instance": func(r *rig) {
			begin(r, 1, true)
			r.end(1, true, true)
			r.must(r.other, state.Command{Open: &state.OpenMark{VirtualStorage: "default", Paths: []string{alpha.RelativePath}, Kind: state.Solo}})
			r.catchUp()
			begin(r, 2, false)
			r.end(2, true, true)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, settings)
			act(r)
			if !r.state.Entry(alpha).Deleted {
				t.Error("a delete was taken back whose effect may be the last one")
			}
		})
	}
}

func TestMachine_retiredEndsEverything(t *testing.T) {
	r := newRig(t, settings)
	r.begin(1, alpha)
	r.keep = true
	r.begin(2, beta)
	r.retire()
	if _, ok := r.last[1].(Doom); !ok {
		t.Errorf("a write under way: %#v", r.last[1])
	}
	if err := r.end(1, true, true); !errors.Is(err, ErrRetired) {
		t.Errorf("status: %v", err)
	}
	r.answerKept()
	if rejected, ok := r.last[2].(Reject); !ok {
		t.Errorf("a write that was proposing: %#v", rejected)
	}
	r.begin(3, alpha)
	r.rejected(3, ErrRetired)
}

func TestMachine_holdStopsNewWritesAndClosesMarks(t *testing.T) {
	r := newRig(t, settings)
	r.begin(1, alpha)
	r.begin(2, beta)
	r.end(2, true, true)
	s := r.leased()
	s.Holds = []Hold{{ID: "promote", VirtualStorage: "default", Until: r.now + 8*second}}
	r.step(s)
	if want := (HoldReport{ID: "promote", Applied: true, InFlight: 1, Marks: 1}); len(r.report.Holding) != 1 || r.report.Holding[0] != want {
		t.Errorf("report: %+v, want %+v", r.report, want)
	}
	if r.state.Entry(beta).HasLive() {
		t.Error("an idle mark stayed open")
	}
	r.begin(3, alpha)
	r.holds(3, WhyHold)
	r.end(1, true, true)
	if want := (HoldReport{ID: "promote", Applied: true}); r.report.Holding[0] != want {
		t.Errorf("report: %+v, want %+v", r.report, want)
	}
	if r.state.Entry(alpha).HasLive() {
		t.Error("the mark of the last write stayed open")
	}
	r.pass(8 * second)
	r.forwarded(3)
	if len(r.report.Holding) != 0 {
		t.Errorf("report: %+v", r.report)
	}
}

func TestMachine_holdTurnsBackWhatIsNotForwarded(t *testing.T) {
	r := newRig(t, settings)
	r.keep = true
	r.begin(1, alpha)
	s := r.leased()
	s.Holds = []Hold{{ID: "promote", VirtualStorage: "default", Until: r.now + 8*second}}
	r.step(s)
	r.answerKept()
	r.holds(1, WhyHold)
	if r.report.Holding[0].InFlight+r.report.Holding[0].Marks != 0 {
		t.Errorf("report: %+v", r.report)
	}
	s.Holds = nil
	r.step(s)
	r.forwarded(1)
}

func TestMachine_stopClosesIdleMarks(t *testing.T) {
	r := newRig(t, settings)
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

func TestMachine_nextIsNeverInThePast(t *testing.T) {
	r := newRig(t, settings)
	r.step(Session{})
	r.begin(1, alpha)
	if at, ok := r.m.Next(); !ok || at != r.now+settings.LeaseWait {
		t.Errorf("next: %v, %v", at, ok)
	}
	r.pass(time.Hour)
	if at, ok := r.m.Next(); ok {
		t.Errorf("next, with nothing under way: %v", at)
	}
}
