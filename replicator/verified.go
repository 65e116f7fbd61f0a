package replicator

import (
	"context"
	"errors"
	"sync"

	"praefect/fsm/state"
	"praefect/replicator/plan"
	"praefect/replicator/queue"
)

// VerifiedCount is how many repositories of a virtual storage the verification of this process
// has looked at, and its findings.
type VerifiedCount struct {
	Repositories int64 `json:"repositories"`
	// Differing had replicas that differ, Undecided could not be judged.
	Differing int64 `json:"differing"`
	Undecided int64 `json:"undecided"`
}

// verifiedCounts counts by virtual storage.
type verifiedCounts struct {
	mu sync.Mutex
	of map[string]VerifiedCount // guarded by mu
}

func (c *verifiedCounts) add(virtualStorage string, found Verified) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == nil {
		c.of = make(map[string]VerifiedCount)
	}
	n := c.of[virtualStorage]
	n.Repositories++
	switch {
	case len(found.Differences) > 0:
		n.Differing++
	case found.Undecided != "" || len(found.Unknown) > 0:
		n.Undecided++
	}
	c.of[virtualStorage] = n
}

func (c *verifiedCounts) get(virtualStorage string) VerifiedCount {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.of[virtualStorage]
}

// Errors of Verify.
var (
	// ErrNoRepository: the primary and every other storage that was compared lack the repository.
	ErrNoRepository = errors.New("there is no such repository")
	// errNoCatalogue: there is nothing to note the time in.
	errNoCatalogue = errors.New("there is no catalogue")
)

// Verify verifies one repository now, with the objects of every replica. noted is why the time of
// it could not be noted, nil if it was. It may be called at any instance.
func (r *Replicator) Verify(ctx context.Context, key state.Key) (found Verified, noted, err error) {
	found = r.verifier.examine(ctx, key, checkAll)
	if ctx.Err() != nil {
		return found, nil, ctx.Err()
	}
	if found.Undecided == "" && found.absent && len(found.Differences) == 0 {
		return found, nil, ErrNoRepository
	}
	r.verifier.account(key, found)
	if r.verifier.verifications == nil {
		return found, errNoCatalogue, nil
	}
	turn, err := bounded(ctx, r.cfg.QueueTimeout, func(ctx context.Context) (queue.Turn, error) {
		return r.verifier.verifications.TurnOf(ctx, key)
	})
	if err != nil {
		return found, err, nil
	}
	return found, r.verifier.note(ctx, turn, plan.Pace{Interval: r.cfg.VerificationInterval}, found), nil
}

// Verified is how many repositories of a virtual storage this process has verified.
func (r *Replicator) Verified(virtualStorage string) VerifiedCount {
	return r.verifier.counts.get(virtualStorage)
}
