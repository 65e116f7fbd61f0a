package partition

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/proxy/admin"
	"praefect/proxy/ledger/machine"
	"praefect/test/must"
	"praefect/test/workload"
)

// check wants of a healed cluster, whose clients have ended, what every fault
// must leave. Registers led to the ids before.
func (w *harness) check(t *testing.T, l *load, before map[string]string) {
	t.Helper()
	began := time.Now()
	w.settle(t)
	t.Logf("nothing was left to repair after %v", time.Since(began).Round(100*time.Millisecond))
	ctx, cancel := context.WithTimeout(t.Context(), settleLimit)
	defer cancel()
	loss, err := w.c.Instances[0].Admin().Dataloss(ctx, admin.DatalossRequest{})
	must.Succeed(t, err)
	if len(loss.Repositories) > 0 {
		t.Errorf("dataloss names %+v", loss.Repositories)
	}
	if err := workload.VerifyMade(ctx, w.c.Storages[0], l.made); err != nil {
		t.Error(err)
	}
	w.checkSound(ctx, t)
	for path, at := range w.registers(ctx, t) {
		history := append(l.registers[path], workload.Operation{Began: time.Now(), Ended: time.Now(), Value: at})
		if err := workload.Linearizable(before[path], history); err != nil {
			t.Errorf("%s of %q: %v", register, path, err)
		}
	}
	w.checkEpochs(ctx, t)
}

// checkSound has git check every replica that was busy.
func (w *harness) checkSound(ctx context.Context, t *testing.T) {
	t.Helper()
	for n := range w.c.Storages {
		for _, path := range w.paths[:busy] {
			if _, err := w.c.Git(ctx, w.replica(n, path), "fsck", "--connectivity-only", "--no-dangling"); err != nil {
				t.Errorf("the replica on %s: %v", w.c.Storages[n].Label(), err)
			}
		}
	}
}

// registers are what the registers lead to, on the disk; empty for nothing.
func (w *harness) registers(ctx context.Context, t *testing.T) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, path := range w.paths[:busy] {
		id, err := w.c.Git(ctx, w.replica(0, path), "for-each-ref", "--format=%(objectname)", register)
		must.Succeed(t, err)
		all[path] = id
	}
	return all
}

func (w *harness) replica(storage int, path string) string {
	return filepath.Join(w.c.Storages[storage].Dir, path)
}

// checkEpochs wants the history to tell of epochs that never fell, up to one that is
// not below any that was seen before.
func (w *harness) checkEpochs(ctx context.Context, t *testing.T) {
	t.Helper()
	before := w.epoch
	// What happens to an instance has no virtual storage, and so no epoch.
	changes := slices.DeleteFunc(w.history(ctx, t), func(e admin.Event) bool { return e.VirtualStorage == "" })
	if !slices.IsSortedFunc(changes, func(a, b admin.Event) int { return int(a.Epoch) - int(b.Epoch) }) {
		t.Errorf("an epoch fell: %+v", changes)
	}
	if w.epoch = changes[len(changes)-1].Epoch; w.epoch < before {
		t.Errorf("the epoch is %d and was %d", w.epoch, before)
	}
}

// history is what praefectctl history tells, oldest first; there is always something.
func (w *harness) history(ctx context.Context, t *testing.T) []admin.Event {
	t.Helper()
	text, err := w.c.Operate(ctx, "-output", "json", "history", "-limit", "1000")
	must.Succeed(t, err)
	var answer admin.HistoryResponse
	must.Succeed(t, json.Unmarshal([]byte(text), &answer))
	if len(answer.Changes) == 0 {
		t.Fatal("the history is empty")
	}
	return answer.Changes
}

// summary is how clients fared, for people.
func (l *load) summary() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	type fate struct{ done, failed, old int }
	fates := make(map[string]*fate)
	var faults []string
	for _, e := range l.events {
		kind := fmt.Sprintf("%ss by %s", e.Kind, e.Home)
		f := fates[kind]
		if f == nil {
			f = &fate{}
			fates[kind] = f
		}
		switch {
		case e.Err != nil:
			f.failed++
			faults = append(faults, e.tell())
		case e.old:
			f.old++
		default:
			f.done++
		}
	}
	var lines []string
	for kind, f := range fates {
		lines = append(lines, fmt.Sprintf("%s: %d, failed %d, marked as old %d", kind, f.done, f.failed, f.old))
	}
	slices.Sort(lines)
	const shown = 6
	return strings.Join(append(lines, faults[:min(len(faults), shown)]...), "\n")
}

func (e event) tell() string {
	return fmt.Sprintf("%s %s of %q by %s after %v: %v", e.Began.Format(clock), e.Kind, e.Path, e.Home, e.Ended.Sub(e.Began).Round(time.Millisecond), e.Err)
}

// clock is how moments are written, to find them in logs.
const clock = "15:04:05.000"

// noneFailed wants every operation through a route to have succeeded; empty for any
// route. A write that ended in the moment between two leases is answered as one
// whose outcome is unknown; when there is such a moment depends on how busy the
// machine is, so that those are only told.
func (l *load) noneFailed(t *testing.T, route string) {
	t.Helper()
	var faults, unknown []string
	l.mu.Lock()
	for _, e := range l.events {
		switch {
		case e.Err == nil || route != "" && e.Home != route:
		case status.Code(e.Err) == codes.Unavailable && strings.Contains(e.Err.Error(), machine.ErrDoomed.Error()):
			unknown = append(unknown, e.tell())
		default:
			faults = append(faults, e.tell())
		}
	}
	l.mu.Unlock()
	if len(unknown) > 0 {
		t.Logf("the outcome of %d writes was not told:\n%s", len(unknown), strings.Join(unknown, "\n"))
	}
	if len(faults) > 0 {
		const shown = 10
		t.Errorf("%d operations failed, such as:\n%s", len(faults), strings.Join(faults[:min(len(faults), shown)], "\n"))
	}
}

// isWrite tells whether it is a write through a route that began after a moment.
func (e event) isWrite(route string, after time.Time) bool {
	return e.Kind == workload.Write && e.Home == route && e.Began.After(after)
}
