package sim

import (
	"errors"
	"time"

	"praefect/fsm/repair"
	"praefect/fsm/state"
	"praefect/replicator/plan"
)

const (
	// maxSteps bounds the steps of one repair.
	maxSteps = 6
	// waitsForTurn is how often a repair waits for another instance's intent before it asks
	// for its turn.
	waitsForTurn = 3
)

var (
	errBusy        = repair.ErrRepositoryBusy
	errInvalidated = repair.ErrInvalidated
)

// plan decides the next step for one repository.
func (d *driver) plan(view *state.State, path string, backfilling bool) plan.Plan {
	return d.planned(view, path, backfilling, false)
}

// planned is plan; turn tells that the other instances are asked to close their intents.
func (d *driver) planned(view *state.State, path string, backfilling, turn bool) plan.Plan {
	d.in.firstSeen.Look(d.in.now(), view.Index)
	return plan.Make(plan.Situation{
		VS: view.VirtualStorage(virtualStorage), Entry: view.Entry(key(path)), Self: d.inc, Backfilling: backfilling, Turn: turn,
		Reachable: func(name string) bool { return d.usable(view, name) },
		Left:      func(m *state.Doubt) time.Duration { return d.in.firstSeen.Left(d.in.now(), m) },
	})
}

// usable reports whether the storage can be called, and is the disk that the
// state speaks of.
func (d *driver) usable(view *state.State, name string) bool {
	l := d.in.link(name)
	vs := view.VirtualStorage(virtualStorage)
	return l != nil && l.conn != nil && vs != nil && vs.Storage(name) != nil && vs.Storage(name).FilesystemID == l.fs
}

// repair does the steps that the ledger now calls for, one after the other. It returns when
// to come back, 0 for never, and the storages that it declared in sync.
func (d *driver) repair(t *task, path string, backfilling bool) (again time.Duration, synced []string, err error) {
	invalidated := 0
	for range maxSteps {
		p := d.plan(d.in.raft.view, path, backfilling)
		if p.Action == plan.Wait && p.For.Reason == plan.LiveIntent {
			d.waits[path]++
		}
		if d.waits[path] > waitsForTurn {
			// Two instances that write would keep it waiting: the repair asks for its turn.
			d.waits[path] = 0
			if asked := d.planned(d.in.raft.view, path, backfilling, true); asked.Action == plan.Copy || asked.Action == plan.Resolve {
				p, invalidated = asked, max(invalidated, 2)
			}
		}
		switch p.Action {
		case plan.Idle:
			return 0, synced, nil
		case plan.Wait:
			if p.Wait == 0 {
				return d.in.w.between(500*time.Millisecond, 2*time.Second), synced, nil
			}
			return p.Wait, synced, nil
		}
		equal, err := d.attempt(t, path, p, invalidated > 1)
		synced = append(synced, equal...)
		switch {
		case err == nil:
			if p.Action == plan.Copy {
				backfilling = false
			}
		case errors.Is(err, errInvalidated), errors.Is(err, errBusy):
			invalidated++
			t.sleep(d.in.w.between(50*time.Millisecond, 400*time.Millisecond))
		default:
			return 0, synced, err
		}
	}
	return time.Second, synced, nil
}
