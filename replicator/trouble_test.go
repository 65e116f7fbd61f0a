package replicator

import (
	"errors"
	"fmt"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/fsm/repair"
	"praefect/replicator/plan"
)

// A killed git leaves a lock, for which every copy fails: the storage's housekeeping
// removes it.
func TestRepair_housekeepingRemovesAStaleLock(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		w.behindAt("a.git", "1", "g3")
		w.behindAt("b.git", "1", "g3")
		w.locked["g3a.git"] = true
		r := w.replicator(repairs)
		stop := w.running()
		defer stop()
		repair := func(o repairRequest) outcome { return r.worker.repair(t.Context(), o) }
		repaired(t, repair, "a.git")
		repaired(t, repair, "b.git")
		w.wantEqual(t)
		if got := testutil.ToFloat64(r.metrics.housekept.WithLabelValues(vsName, "g3")); got != 1 || w.called("OptimizeRepository", "g3") != 1 {
			t.Errorf("asked for housekeeping %v times, want once", got)
		}
		if left := r.repairer.troubles.get(key("a.git"), "g3"); left != (trouble{}) {
			t.Errorf("remembered after success: %+v", left)
		}
	})
}

func TestTroubles_countWhatTheReplicaMayCause(t *testing.T) {
	refused := status.Error(codes.Internal, "exit status 253")
	for name, row := range map[string]struct {
		err  error
		want trouble
	}{
		"the storage cannot be reached": {errors.New("storage \"g3\" is away"), trouble{}},
		"a write came":                  {repair.ErrInvalidated, trouble{}},
		"the source failed":             {fmt.Errorf("list: %w", ofSource(refused)), trouble{}},
		"the target failed":             {fmt.Errorf("replicate: %w", refused), trouble{copies: 1}},
		"a difference was left":         {&plan.UnlikeError{Storage: "g3", Source: "g1", What: "HEAD"}, trouble{copies: 1}},
		"its objects are gone":          {status.Error(codes.Internal, "bad object refs/heads/a"), trouble{copies: 1, broken: true}},
	} {
		var list troubles
		list.note(key("a.git"), "g3", row.err)
		got := list.get(key("a.git"), "g3")
		if got.why = ""; got != row.want {
			t.Errorf("%s: got %+v, want %+v", name, got, row.want)
		}
	}
}

func TestTroubles_areBounded(t *testing.T) {
	var list troubles
	for i := range troublesKept + 10 {
		list.note(key(fmt.Sprint(i)), "g3", status.Error(codes.Internal, "broken"))
	}
	if len(list.list) != troublesKept {
		t.Errorf("got %d, want %d", len(list.list), troublesKept)
	}
	if last := list.get(key(fmt.Sprint(troublesKept+9)), "g3"); last.copies != 1 {
		t.Errorf("the newest: %+v", last)
	}
}
