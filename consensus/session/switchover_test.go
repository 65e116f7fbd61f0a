package session_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"praefect/consensus/elector"
	"praefect/consensus/session"
)

// switchOver asks a node for a switchover, and returns the phases that it told.
func switchOver(ctx context.Context, n *node, r elector.Request) (session.Outcome, []elector.Phase, error) {
	r.ID, r.VirtualStorage = string(r.Verb)+" "+r.Storage, vsName
	var phases []elector.Phase
	outcome, err := n.session.Switch(ctx, r, func(_ session.Plan, p elector.Progress) {
		if len(phases) == 0 || phases[len(phases)-1] != p.Phase {
			phases = append(phases, p.Phase)
		}
	})
	return outcome, phases, err
}

func TestSession_promotes(t *testing.T) {
	run(t, func(t *testing.T, w *testCluster) {
		w.settle()
		plan, err := w.nodes[0].session.Plan(elector.Request{Verb: elector.Promote, VirtualStorage: vsName, Storage: "g3"})
		if err != nil || plan.Primary != "g1" || plan.Successor != "g3" || !slices.Equal(plan.Fenced, []string{"g1", "g2"}) {
			t.Errorf("plan: %+v, %v", plan, err)
		}
		outcome, phases, err := switchOver(t.Context(), w.nodes[0], elector.Request{Verb: elector.Promote, Storage: "g3"})
		if !slices.Contains(phases, elector.PauseWrites) {
			t.Errorf("told %q", phases)
		}
		if err != nil || outcome.Primary != "g3" || outcome.Paused > 200*time.Millisecond || outcome.Epoch != plan.Epoch+2 {
			t.Errorf("got %+v, %v", outcome, err)
		}
		if got := w.storageStates(); got != "g3 serving g1 serving g2 serving " {
			t.Errorf("got %s", got)
		}
		for _, n := range w.nodes {
			w.within(20*time.Millisecond, "the release at "+n.id, func() bool { return len(n.session.WritePauses()) == 0 })
		}
		again, _, err := switchOver(t.Context(), w.nodes[0], elector.Request{Verb: elector.Promote, Storage: "g3"})
		if err != nil || again.Epoch != outcome.Epoch || again.Paused != outcome.Paused {
			t.Errorf("the same request again: %+v, %v", again, err)
		}
	})
}

func TestSession_drains(t *testing.T) {
	run(t, func(t *testing.T, w *testCluster) {
		w.settle()
		outcome, _, err := switchOver(t.Context(), w.nodes[0], elector.Request{Verb: elector.Drain, Storage: "g1"})
		if err != nil || outcome.Primary != "g2" || w.storageStates() != withoutG1 {
			t.Errorf("got %+v, %v: %s", outcome, err, w.storageStates())
		}
		w.pass(time.Minute)
		if got := w.storageStates(); got != withoutG1 {
			t.Errorf("it came back: %s", got)
		}
	})
}

// Writes that do not end end the pause; nothing has changed then.
func TestSession_pausesAndResumes(t *testing.T) {
	run(t, func(t *testing.T, w *testCluster) {
		w.settle()
		w.change(func() { w.nodes[1].inFlight = 1 })
		done := make(chan error, 1)
		go func() {
			_, _, err := switchOver(t.Context(), w.nodes[0], elector.Request{Verb: elector.Promote, Storage: "g2"})
			done <- err
		}()
		for _, n := range w.nodes {
			w.within(20*time.Millisecond, "the pause at "+n.id, func() bool { return len(n.session.WritePauses()) == 1 })
		}
		until := w.nodes[2].session.WritePauses()[0].Until
		w.pass(5 * time.Second)
		if got := w.nodes[2].session.WritePauses(); len(got) != 1 || got[0].Until != until {
			t.Errorf("the end of the pause moved from %v: %+v", until, got)
		}
		if err := <-done; !errors.Is(err, elector.ErrTimeout) {
			t.Errorf("got %v", err)
		}
		if left := until - w.nodes[2].now(); left < -20*time.Millisecond || left > 20*time.Millisecond {
			t.Errorf("given up %v before the end of the pause", left)
		}
		if got := w.storageStates(); got != healthy {
			t.Errorf("got %s", got)
		}
	})
}

func TestSession_givesUpInTime(t *testing.T) {
	run(t, func(t *testing.T, w *testCluster) {
		w.settle()
		w.change(func() { w.nodes[1].inFlight = 1 })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, _, err := switchOver(ctx, w.nodes[0], elector.Request{Verb: elector.Promote, Storage: "g2"}); !errors.Is(err, session.ErrCanceled) {
			t.Errorf("got %v", err)
		}
		w.within(20*time.Millisecond, "the release", func() bool { return len(w.nodes[2].session.WritePauses()) == 0 })
		w.change(func() { w.nodes[1].inFlight = 0 })
		w.pass(time.Second)
		if got := w.storageStates(); got != healthy {
			t.Errorf("got %s", got)
		}
	})
}

func TestSession_switchoverEndsWithTheTerm(t *testing.T) {
	for _, tc := range []struct {
		name  string
		until func(w *testCluster) func() bool // the leader changes
		want  error
		then  string
	}{
		{name: "under pause", want: session.ErrNotLeading, then: healthy, until: func(w *testCluster) func() bool {
			w.change(func() { w.nodes[1].inFlight = 1 })
			return func() bool { return len(w.nodes[2].session.WritePauses()) > 0 }
		}},
		{name: "fenced", want: session.ErrUnknown, then: backAgain, until: func(w *testCluster) func() bool {
			return func() bool {
				fenced := w.storageStates() == "g1 fenced g2 serving g3 serving "
				return fenced
			}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			run(t, func(t *testing.T, w *testCluster) {
				w.settle()
				until := tc.until(w)
				if tc.name == "fenced" { // one that lags keeps the fence from being applied by all
					w.change(func() { w.nodes[2].lags = true })
				}
				done := make(chan error, 1)
				go func() {
					_, _, err := switchOver(t.Context(), w.nodes[0], elector.Request{Verb: elector.Promote, Storage: "g2", Force: tc.name == "fenced"})
					done <- err
				}()
				w.await(tc.name, until)
				w.elect(w.nodes[1])
				w.change(func() { w.nodes[2].lags = false })
				if err := <-done; !errors.Is(err, tc.want) {
					t.Errorf("got %v", err)
				}
				w.pass(5 * time.Second)
				if got := w.storageStates(); got != tc.then {
					t.Errorf("got %s", got)
				}
				for _, n := range w.nodes {
					if len(n.session.WritePauses()) > 0 {
						t.Errorf("%s still holds", n.id)
					}
				}
			})
		})
	}
}

func TestSession_refusesWhatItCannotDo(t *testing.T) {
	run(t, func(t *testing.T, w *testCluster) {
		w.settle()
		if _, _, err := switchOver(t.Context(), w.nodes[1], elector.Request{Verb: elector.Promote, Storage: "g2"}); !errors.Is(err, session.ErrNotLeading) {
			t.Errorf("at another instance: got %v", err)
		}
		if _, err := w.nodes[1].session.Plan(elector.Request{Verb: elector.Promote, VirtualStorage: vsName, Storage: "g2"}); !errors.Is(err, session.ErrNotLeading) {
			t.Errorf("plan at another instance: got %v", err)
		}
		if _, _, err := switchOver(t.Context(), w.nodes[0], elector.Request{Verb: elector.Promote, Storage: "g9"}); !errors.Is(err, elector.ErrRefused) {
			t.Errorf("unknown storage: got %v", err)
		}
		outcome, _, err := switchOver(t.Context(), w.nodes[0], elector.Request{Verb: elector.Promote, Storage: "g1"})
		if err != nil || !outcome.Plan.Already || outcome.Primary != "g1" {
			t.Errorf("what is so already: got %+v, %v", outcome, err)
		}
		w.change(func() { w.nodes[1].inFlight = 1 })
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			_, _, err := switchOver(ctx, w.nodes[0], elector.Request{Verb: elector.Promote, Storage: "g2"})
			done <- err
		}()
		w.await("the pause", func() bool { return len(w.nodes[2].session.WritePauses()) > 0 })
		if _, err := w.nodes[0].session.Switch(t.Context(), elector.Request{
			ID: "another", Verb: elector.Drain, VirtualStorage: vsName, Storage: "g3",
		}, func(session.Plan, elector.Progress) {}); !errors.Is(err, session.ErrSwitchoverRunning) {
			t.Errorf("two at once: got %v", err)
		}
		cancel()
		<-done
	})
}
