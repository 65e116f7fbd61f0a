package replicator

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"praefect/fsm/state"
	"praefect/replicator/plan"
)

// damagesKept bounds the memory of damaged replicas; replicas beyond it are in the log and in the
// history.
const damagesKept = 1000

// mendTries is how often the repair of a damaged replica is tried here before it is left to the
// queue.
const mendTries = 10

// Damage is a replica of which git complained.
type Damage struct {
	state.Key
	Storage string
	What    string
}

// damages remembers the replicas that were found damaged until a check finds them sound.
type damages struct {
	mu    sync.Mutex
	found map[replica]string // guarded by mu
}

// note notes the findings of a verification: damage, or that a damaged replica is sound. A replica
// that was compared and not checked stays as it was noted.
func (d *damages) note(key state.Key, found Verified) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, storage := range found.Checked {
		delete(d.found, replica{key, storage})
	}
	for _, difference := range found.Differences {
		what, damaged := strings.CutPrefix(difference.What, plan.DamagedPrefix)
		if !damaged || len(d.found) >= damagesKept {
			continue
		}
		if d.found == nil {
			d.found = make(map[replica]string)
		}
		d.found[replica{key, difference.Storage}] = what
	}
}

func (d *damages) has(key state.Key, storage string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, has := d.found[replica{key, storage}]
	return has
}

// list returns the damaged replicas by repository and storage.
func (d *damages) list() []Damage {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := make([]Damage, 0, len(d.found))
	for r, what := range maps.All(d.found) {
		list = append(list, Damage{Key: r.Key, Storage: r.storage, What: what})
	}
	slices.SortFunc(list, func(a, b Damage) int {
		return cmp.Or(a.Compare(b.Key), cmp.Compare(a.Storage, b.Storage))
	})
	return list
}

// repair has the replicas repaired that were put in doubt. A damaged replica is repaired by this
// instance: a copy leaves the objects alone that the replica seems to have, so that it is to be
// made again, which no other instance knows.
func (v *verifier) repair(key state.Key, found plan.Findings) {
	broken := false
	for _, d := range found.Differences {
		if what, damaged := strings.CutPrefix(d.What, plan.DamagedPrefix); damaged && d.Storage != found.Primary {
			v.repairer.troubles.breaks(key, d.Storage, what)
			broken = true
		}
	}
	if broken {
		select {
		case v.broken <- key:
			return
		default: // many are; the alarm of a replica that no repair makes again stays
		}
	}
	v.enqueue(key)
}

// mend repairs the repositories with damaged replicas until ctx ends; work is for the copies.
func (v *verifier) mend(ctx, work context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case key := <-v.broken:
			v.mendOne(ctx, work, key)
		}
	}
}

func (v *verifier) mendOne(ctx, work context.Context, key state.Key) {
	for range mendTries {
		out := v.repairer.repair(work, repairRequest{key: key, stopped: func() bool { return ctx.Err() != nil }})
		if out.err == nil && out.again == 0 {
			return
		}
		about(v.log, key).Info("a damaged replica is not made again yet", "err", out.err)
		pause(ctx, min(max(out.again, busyDelayMin), time.Minute))
		if ctx.Err() != nil {
			return
		}
	}
	v.enqueue(key)
}
