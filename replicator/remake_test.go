package replicator

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/fsm/state"
)

// remaking runs a replicator whose repairs are made by hand.
func (w *fixture) remaking(t *testing.T) (*Replicator, func(repairRequest) outcome) {
	r := w.replicator(repairs)
	stop := w.running()
	t.Cleanup(stop)
	return r, func(o repairRequest) outcome { return r.worker.repair(t.Context(), o) }
}

// history are the repository's replicas that were made again, or stepped down.
func (w *fixture) history(what string) (found []state.Change) {
	for _, c := range w.node.View().VirtualStorage(vsName).History {
		if c.What == what {
			found = append(found, c)
		}
	}
	return found
}

func TestRepair_remakesAReplica(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		r, repair := w.remaking(t)
		w.behindAt("a.git", "1", "g3")
		w.ruined["g3a.git"] = true
		repaired(t, repair, "a.git")
		w.wantEqual(t)
		if removed, copied := w.called("RemoveRepository", "g3"), w.called("ReplicateRepository", "g3"); removed != 1 || copied != 4 {
			t.Errorf("removed %d times, copied onto %d times: want once, after three copies that failed", removed, copied)
		}
		lines := w.history(state.ChangeRemade)
		if len(lines) != 1 || lines[0].Storage != "g3" || lines[0].RelativePath != "a.git" || !strings.Contains(lines[0].Why, "exit status 128") {
			t.Errorf("history: %+v", lines)
		}
		if got := testutil.ToFloat64(r.metrics.remade.WithLabelValues(vsName, "g3")); got != 1 {
			t.Errorf("counted %v", got)
		}
		if n := r.repairer.remakes.count(); n != 0 || len(r.Alarms()) > 0 || r.repairer.troubles.get(key("a.git"), "g3") != (trouble{}) {
			t.Errorf("left: %d being made again, alarms %+v", n, r.Alarms())
		}
	})
}

// Where the error says that no copy will succeed, two more need not fail first.
func TestRepair_remakesAtOnceWhatIsBroken(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		_, repair := w.remaking(t)
		w.behindAt("a.git", "1", "g3")
		w.faults = func(storage, method string) fate {
			if storage == "g3" && method == "ReplicateRepository" && w.disks["g3"].repos["a.git"] != "" {
				return fate{err: status.Error(codes.Internal, "unable to normalize alternate object path: /pools/p.git/objects")}
			}
			return fate{}
		}
		repaired(t, repair, "a.git")
		w.wantEqual(t)
		if copied := w.called("ReplicateRepository", "g3"); copied != 2 {
			t.Errorf("copied onto %d times", copied)
		}
	})
}

// What must not be removed is not, however often copies fail, and an alarm names it.
func TestRepair_keepsAReplica(t *testing.T) {
	for name, row := range map[string]struct {
		path  string
		setUp func(w *fixture)
		alarm string
	}{
		"the source is damaged": {"a.git", func(w *fixture) { w.damaged["g1a.git"] = true }, "git fsck finds faults"},
		"others borrow from it": {"@pools/p.git", func(w *fixture) { w.ruined["g3@pools/p.git"] = true }, "may borrow"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *fixture) {
				r, repair := w.remaking(t)
				w.behindAt(row.path, "1", "g3")
				row.setUp(w)
				for range 20 {
					if out := repair(repairRequest{key: key(row.path)}); out.err == nil {
						t.Fatalf("got %+v", out)
					}
				}
				if w.called("RemoveRepository", "g3") != 0 || w.content("g3", row.path) != "old" || len(w.history(state.ChangeRemade)) > 0 {
					t.Error("the replica was removed")
				}
				alarms := r.Alarms()
				if len(alarms) != 1 || alarms[0].Reason != AlarmReplica || !strings.Contains(alarms[0].Detail, row.alarm) {
					t.Errorf("alarms: %+v", alarms)
				}
			})
		})
	}
}

// A replica that is made again in vain is not removed a second time.
func TestRepair_remakesOnce(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		r, repair := w.remaking(t)
		w.behindAt("a.git", "1", "g3")
		w.meet("g3", "ReplicateRepository", fate{err: status.Error(codes.Internal, "no space left on device")})
		for range 20 {
			repair(repairRequest{key: key("a.git")})
		}
		if removed := w.called("RemoveRepository", "g3"); removed != 1 {
			t.Errorf("removed %d times", removed)
		}
		if alarms := r.Alarms(); len(alarms) != 1 || alarms[0].Reason != AlarmReplica {
			t.Errorf("alarms: %+v", alarms)
		}
		w.well()
		repaired(t, repair, "a.git")
		if len(r.Alarms()) > 0 {
			t.Errorf("alarms after success: %+v", r.Alarms())
		}
	})
}

// Copies onto many replicas of one storage fail: nothing is removed there.
func TestRepair_aStorageWhereCopiesFailIsAnAlarm(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		r, repair := w.remaking(t)
		const replicas = 11
		for i := range replicas {
			path := fmt.Sprintf("%d.git", i)
			w.behindAt(path, "1", "g3")
			w.ruined["g3"+path] = true
		}
		for range 6 {
			for i := range replicas {
				repair(repairRequest{key: key(fmt.Sprintf("%d.git", i))})
			}
		}
		if removed := w.called("RemoveRepository", "g3"); removed > 0 {
			t.Errorf("removed %d replicas", removed)
		}
		if got := r.FailingStorages(); !slices.Equal(got, []FailingStorage{{vsName, "g3", replicas}}) {
			t.Errorf("failing storages: %+v", got)
		}
		// One that is repaired by other means leaves those that are the replicas' own.
		delete(w.ruined, "g30.git")
		repaired(t, repair, "0.git")
		for i := 1; i < replicas; i++ {
			repaired(t, repair, fmt.Sprintf("%d.git", i))
		}
		if faults := w.equal(); faults != "" || len(r.FailingStorages()) > 0 {
			t.Errorf("%s; failing: %+v", faults, r.FailingStorages())
		}
	})
}
