package machine

import (
	"errors"
	"slices"
	"testing"
	"time"

	"praefect/fsm/routing"
	"praefect/fsm/state"
	"praefect/proxy/router"
)

func TestMachine_fenceDoomsBeforeItIsReported(t *testing.T) {
	r := newFixture(t, settings)
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
	if !r.state.Entry(alpha).HasDoubt() {
		t.Errorf("entry: %+v", r.state.Entry(alpha))
	}
}

func TestMachine_doomedWriteStaysDoomedWhenTheStorageServesAgain(t *testing.T) {
	r := newFixture(t, settings)
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
	r := newFixture(t, settings)
	r.fence("gitaly-1")
	r.catchUp()
	r.begin(1, alpha)
	r.begin(2, beta)
	r.queued(1, WhyFenced)
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
	r := newFixture(t, settings)
	reach := func(generation uint64, disk string) Connections {
		return Connections{Storages: []Connection{{VirtualStorage: "default", Storage: "gitaly-1", Generation: generation,
			Reachability: router.Reachability{OK: generation > 0, FilesystemID: disk}}}}
	}
	r.step(reach(0, ""))
	r.begin(1, alpha)
	r.queued(1, WhyUnreachable)
	r.step(reach(7, "another disk"))
	r.queued(1, WhyUnreachable)
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
	r.pass(settings.QueueTimeout)
	r.rejected(1, ErrQueued)
}

func TestMachine_boundsTheWait(t *testing.T) {
	for name, cfg := range map[string]Config{
		"by number": {QueueTimeout: 10 * second, QueueLimit: 3},
		"by bytes":  {QueueTimeout: 10 * second, QueueLimit: 1000, QueueBytes: 399},
	} {
		t.Run(name, func(t *testing.T) {
			r := newFixture(t, cfg)
			r.fence("gitaly-1")
			r.catchUp()
			for id := range ID(4) {
				r.begin(id, state.Key{VirtualStorage: "default", RelativePath: string(rune('a'+id)) + ".git"})
			}
			r.queued(2, WhyFenced)
			r.rejected(3, ErrQueued)
			r.step(Cancel{Write: 0})
			r.begin(4, alpha)
			r.queued(4, WhyFenced)
			r.pass(cfg.QueueTimeout)
			r.rejected(4, ErrQueued)
			r.idle()
		})
	}
}

func TestMachine_nowhereToGo(t *testing.T) {
	r := newFixture(t, settings)
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

func TestMachine_holdStopsNewWritesAndClosesIntents(t *testing.T) {
	r := newFixture(t, settings)
	r.begin(1, alpha)
	r.begin(2, beta)
	r.end(2, true, true)
	s := r.leased()
	s.WritePauses = []routing.WritePause{{ID: "promote", VirtualStorage: "default", Until: r.now + 8*second}}
	r.step(s)
	if want := (routing.WritePauseReport{ID: "promote", Applied: true, InFlight: 1, Intents: 1}); len(r.report.PauseReports) != 1 || r.report.PauseReports[0] != want {
		t.Errorf("report: %+v, want %+v", r.report, want)
	}
	if r.state.Entry(beta).HasLive() {
		t.Error("an idle intent stayed open")
	}
	r.begin(3, alpha)
	r.queued(3, WhyPause)
	r.end(1, true, true)
	if want := (routing.WritePauseReport{ID: "promote", Applied: true}); r.report.PauseReports[0] != want {
		t.Errorf("report: %+v, want %+v", r.report, want)
	}
	if r.state.Entry(alpha).HasLive() {
		t.Error("the intent of the last write stayed open")
	}
	r.pass(8 * second)
	r.forwarded(3)
	if len(r.report.PauseReports) != 0 {
		t.Errorf("report: %+v", r.report)
	}
}

func TestMachine_holdTurnsBackWhatIsNotForwarded(t *testing.T) {
	r := newFixture(t, settings)
	r.keep = true
	r.begin(1, alpha)
	s := r.leased()
	s.WritePauses = []routing.WritePause{{ID: "promote", VirtualStorage: "default", Until: r.now + 8*second}}
	r.step(s)
	r.answerKept()
	r.queued(1, WhyPause)
	if r.report.PauseReports[0].InFlight+r.report.PauseReports[0].Intents != 0 {
		t.Errorf("report: %+v", r.report)
	}
	s.WritePauses = nil
	r.step(s)
	r.forwarded(1)
}

func TestMachine_nextIsNeverInThePast(t *testing.T) {
	r := newFixture(t, settings)
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
