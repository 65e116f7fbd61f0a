package replicator

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/fsm/state"
)

func (w *fixture) primary(path string) string {
	p, _ := w.node.View().PrimaryOf(key(path))
	return p.Name
}

// The primary gives its place to the next in-sync storage, and is made again.
func TestStepDown(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		w.put("a.git", "1", "g1", "g2", "g3")
		w.meet("g1", "ReplicateRepository", fate{slow: 2 * time.Second}) // so that it stays behind for a while
		r, stop := w.replicatingAs(t, Config{PauseBudget: 5 * time.Second})
		defer stop()
		r.StepDown(key("a.git"), "g1", "reference is locked")
		until(t, 5*time.Second, func() bool { return w.primary("a.git") == "g2" })
		w.mustWrite(t, "a.git", "2", false)
		if w.content("g2", "a.git") != "2" {
			t.Error("the write went to the former primary")
		}
		r.Enqueue(key("a.git"))
		until(t, time.Minute, func() bool { return w.equal() == "" && w.entry("a.git") == nil })
		if w.content("g1", "a.git") != "2" || w.called("RemoveRepository", "g1") != 1 {
			t.Error("the former primary was not made again")
		}
		lines := w.history(state.ChangeSteppedDown)
		if len(lines) != 1 || lines[0].Storage != "g1" || lines[0].RelativePath != "a.git" || lines[0].Why != "reference is locked" {
			t.Errorf("history: %+v", lines)
		}
		if got := testutil.ToFloat64(r.metrics.steppedDown.WithLabelValues(vsName, "g1")); got != 1 {
			t.Errorf("counted %v", got)
		}
		if alarms := r.Alarms(); len(alarms) > 0 {
			t.Errorf("alarms after the repair: %+v", alarms)
		}
	})
}

// A primary stays where nothing may take its place, and an alarm says so.
func TestStepDown_isRefused(t *testing.T) {
	for name, row := range map[string]struct {
		setUp   func(t *testing.T, w *fixture)
		primary string
		alarm   bool
	}{
		"it has the only copy": {func(t *testing.T, w *fixture) { w.mustWrite(t, "a.git", "1", false) }, "g1", true},
		"the next one cannot be reached": {func(_ *testing.T, w *fixture) {
			w.put("a.git", "1", "g1", "g2", "g3")
			w.reach("g2", false)
		}, "g1", true},
		"the next one is damaged": {func(_ *testing.T, w *fixture) {
			w.put("a.git", "1", "g1", "g2", "g3")
			w.damaged["g2a.git"] = true
		}, "g1", true},
		"the next one lacks it": {func(_ *testing.T, w *fixture) {
			w.untracked = "a.git"
			w.put("a.git", "1", "g1", "g3")
		}, "g1", true},
		"another one is the primary by now": {func(_ *testing.T, w *fixture) { w.put("a.git", "1", "g1", "g2", "g3") }, "g2", false},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *fixture) {
				r := w.replicator(Config{PauseBudget: 5 * time.Second})
				stop := w.running()
				defer stop()
				row.setUp(t, w)
				r.StepDown(key("a.git"), row.primary, "reference is locked")
				k, failed, ok := r.stepDowner.next()
				if !ok {
					t.Fatal("forgotten")
				}
				done, _, err := r.stepDowner.stepDown(t.Context(), k, failed)
				if done || (err != nil) != row.alarm {
					t.Errorf("got %t, %v", done, err)
				}
				if w.primary("a.git") != "g1" || len(w.history(state.ChangeSteppedDown)) > 0 {
					t.Errorf("the primary is %s", w.primary("a.git"))
				}
			})
		})
	}
}

// A write in flight ends on the primary before that steps down; one that comes meanwhile
// goes to the successor.
func TestStepDown_waitsForWrites(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		w.put("a.git", "0", "g1", "g2", "g3")
		r, stop := w.replicatingAs(t, Config{PauseBudget: 5 * time.Second})
		defer stop()
		done := make(chan error, 1)
		go func() { done <- w.writeFor(t.Context(), "a.git", "1", false, 2*time.Second) }()
		pause(t.Context(), time.Second)
		r.StepDown(key("a.git"), "g1", "reference is locked")
		if err := <-done; err != nil || w.content("g1", "a.git") != "1" {
			t.Fatalf("the write: %v", err)
		}
		// It has left all others behind: the primary has the only copy.
		pause(t.Context(), time.Second)
		if w.primary("a.git") != "g1" {
			t.Errorf("the only copy has stepped down for %s", w.primary("a.git"))
		}
		r.Enqueue(key("a.git"))
		until(t, time.Minute, func() bool { return w.equal() == "" })
		r.StepDown(key("a.git"), "g1", "reference is locked")
		until(t, time.Minute, func() bool { return len(w.history(state.ChangeSteppedDown)) == 1 && w.entry("a.git") == nil })
		if w.called("RemoveRepository", "g1") != 1 || w.equal() != "" {
			t.Errorf("it was not made again: %s", w.equal())
		}
	})
}

func TestStepDown_isBounded(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		r := w.replicator(Config{})
		for i := range stepDownsKept + 10 {
			r.StepDown(state.Key{RelativePath: string(rune('a' + i))}, "g1", "locked")
		}
		if n := len(r.stepDowner.pending); n != stepDownsKept {
			t.Errorf("%d wait", n)
		}
	})
}

// The alarm about a primary that has stepped down ends with the repair, whichever instance
// makes it; that about one that stays does not, because nothing is repaired.
func TestStepDown_alarmEnds(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		w.put("a.git", "1", "g1", "g2", "g3")
		w.put("b.git", "1", "g1", "g2", "g3")
		r, stop := w.replicatingAs(t, Config{PauseBudget: 5 * time.Second})
		w.meet("g1", "RemoveRepository", fate{err: status.Error(codes.Internal, "no space left on device")}) // so that nothing is repaired here
		w.damaged["g2b.git"] = true
		r.StepDown(key("a.git"), "g1", "no space left on device")
		r.StepDown(key("b.git"), "g1", "no space left on device")
		until(t, 30*time.Second, func() bool { return len(r.Alarms()) == 2 })
		defer stop()
		w.well()
		other := w.replicator(repairs)
		repaired(t, func(o repairRequest) outcome { return other.worker.repair(t.Context(), o) }, "a.git")
		if alarms := r.Alarms(); len(alarms) != 1 || alarms[0].RelativePath != "b.git" {
			t.Errorf("alarms: %+v", alarms)
		}
	})
}

// Where many replicas of a storage cannot be written, it steps down for each, and keeps
// them: its disk is the matter.
func TestStepDown_aStorageThatWritesNothingKeepsItsReplicas(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		r := w.replicator(Config{PauseBudget: 5 * time.Second})
		stop := w.running()
		defer stop()
		const repositories, most = 13, 10
		for i := range repositories {
			path := fmt.Sprintf("%d.git", i)
			w.put(path, "1", "g1", "g2", "g3")
			done, removed, err := r.stepDowner.stepDown(t.Context(), key(path), failedPrimary{"g1", "no space left on device"})
			if !done || err != nil || removed != (i < most) || w.primary(path) != "g2" {
				t.Errorf("%s: done %t, removed %t, %v, the primary is %s", path, done, removed, err, w.primary(path))
			}
		}
		if removed := w.called("RemoveRepository", "g1"); removed != most {
			t.Errorf("%d replicas were removed", removed)
		}
		if got := r.FailingStorages(); !slices.Equal(got, []FailingStorage{{vsName, "g1", repositories}}) {
			t.Errorf("failing storages: %+v", got)
		}
	})
}

// A replica that cannot even be removed is not copied onto at once: as nothing is missing
// there yet, it would be the primary again.
func TestStepDown_removalFails(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		w.put("a.git", "1", "g1", "g2", "g3")
		full := true
		w.faults = func(storage, method string) fate {
			if full && storage == "g1" && (method == "RemoveRepository" || method == "ReplicateRepository") {
				return fate{err: status.Error(codes.Internal, "no space left on device")}
			}
			return fate{}
		}
		r, stop := w.replicatingAs(t, Config{PauseBudget: 5 * time.Second})
		defer stop()
		r.StepDown(key("a.git"), "g1", "no space left on device")
		until(t, 5*time.Second, func() bool { return w.primary("a.git") == "g2" })
		pause(t.Context(), 30*time.Second)
		if w.primary("a.git") != "g2" || w.called("ReplicateRepository", "g1") > 0 {
			t.Errorf("the primary is %s, after %d copies onto the former one", w.primary("a.git"), w.called("ReplicateRepository", "g1"))
		}
		full = false
		removals := w.called("RemoveRepository", "g1")
		r.Enqueue(key("a.git"))
		until(t, time.Minute, func() bool { return w.equal() == "" && w.entry("a.git") == nil })
		if w.called("RemoveRepository", "g1") != removals+1 {
			t.Error("the replica was not made again")
		}
	})
}
