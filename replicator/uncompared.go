package replicator

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"praefect/fsm/state"
)

// NotCompared is a virtual storage in which storages serve on since a recovery although not every
// repository has been compared there.
type NotCompared struct {
	VirtualStorage string
	Storages       []string
	// Recovered is when that was.
	Recovered time.Time
	// Left is how many repositories are still to be compared, up to a limit; negative: it is not known.
	Left int
}

// recovered is how long ago a recovery left storages serving without a comparison; 0: none did. An
// instance whose clock is behind that of the recovery takes the recovery for new.
func recovered(vs *state.VirtualStorage) time.Duration {
	if vs == nil {
		return 0
	}
	storages, at := vs.NotCompared()
	if len(storages) == 0 {
		return 0
	}
	return max(1, time.Since(time.UnixMilli(at)))
}

// uncompared counts the repositories that are left to compare, by virtual storage, while this
// instance leads.
type uncompared struct {
	mu   sync.Mutex
	left map[string]NotCompared // guarded by mu
}

func (u *uncompared) forget(virtualStorage string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.left, virtualStorage)
}

func (u *uncompared) note(n NotCompared) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.left == nil {
		u.left = make(map[string]NotCompared)
	}
	if before, known := u.left[n.VirtualStorage]; known && n.Left < 0 && before.Recovered.Equal(n.Recovered) {
		n.Left = before.Left // Postgres is away
	}
	u.left[n.VirtualStorage] = n
}

func (u *uncompared) list() []NotCompared {
	u.mu.Lock()
	defer u.mu.Unlock()
	var list []NotCompared
	for _, n := range u.left {
		if n.Left != 0 {
			list = append(list, n)
		}
	}
	slices.SortFunc(list, func(a, b NotCompared) int { return cmp.Compare(a.VirtualStorage, b.VirtualStorage) })
	return list
}

// countUncompared counts the repositories that were not looked at since a recovery, requested ones
// too.
func (v *verifier) countUncompared(ctx context.Context, vs *state.VirtualStorage) {
	since := recovered(vs)
	if since == 0 {
		v.uncompared.forget(vs.Name)
		return
	}
	storages, at := vs.NotCompared()
	left, err := bounded(ctx, v.cfg.QueueTimeout, func(ctx context.Context) (int, error) {
		requested, before, err := v.verifications.Waiting(ctx, vs.Name, since, waitingLimit)
		return requested + before, err
	})
	if err != nil {
		left = -1
	}
	v.uncompared.note(NotCompared{VirtualStorage: vs.Name, Storages: storages, Recovered: time.UnixMilli(at), Left: left})
}

// NotCompared lists the virtual storages in which a recovery left replicas that count as in sync and
// have not been compared, while this instance leads.
func (r *Replicator) NotCompared() []NotCompared { return r.verifier.uncompared.list() }
