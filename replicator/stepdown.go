package replicator

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"

	"praefect/fsm/state"
	"praefect/replicator/steps"
)

const (
	// stepDownsKept bounds how many repositories may wait for their primaries to step down.
	// Repositories beyond it are told of again, while their writes fail.
	stepDownsKept = 1000
	// stepDownTries is how often one is tried before it waits to be told of again.
	stepDownTries = 10
)

// stepDowner has primaries step down that take no writes.
type stepDowner struct {
	*repairer
	enqueue func(state.Key)

	wake chan struct{} // holds 1: there is more to do

	mu      sync.Mutex
	pending map[state.Key]failedPrimary // guarded by mu
}

// failedPrimary is a primary that takes no writes of a repository, and why.
type failedPrimary struct{ storage, why string }

// add asks for a primary to step down. It never waits.
func (s *stepDowner) add(key state.Key, primary, why string) {
	s.mu.Lock()
	if _, known := s.pending[key]; known || len(s.pending) < stepDownsKept {
		s.pending[key] = failedPrimary{primary, why}
	}
	s.mu.Unlock()
	wake(s.wake)
}

// next takes one that waits.
func (s *stepDowner) next() (key state.Key, failed failedPrimary, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, failed = range s.pending {
		delete(s.pending, key)
		return key, failed, true
	}
	return key, failed, false
}

// run carries out requests until ctx ends; work ends the step-down under way.
func (s *stepDowner) run(ctx, work context.Context) {
	for ctx.Err() == nil {
		key, failed, ok := s.next()
		if !ok {
			await(ctx, s.wake)
			continue
		}
		log := about(s.log, key).With("primary", failed.storage)
		for try := 1; ctx.Err() == nil; try++ {
			done, removed, err := s.stepDown(work, key, failed)
			if err == nil {
				if done {
					s.metrics.steppedDown.WithLabelValues(key.VirtualStorage, failed.storage).Inc()
					s.alarms.raise(key, AlarmPrimary, fmt.Errorf("%q takes no writes: %s", failed.storage, failed.why))
					log.Warn("the primary of a repository takes no writes and has stepped down", "why", failed.why)
				}
				if removed { // else a copy onto the replica could make it the primary again at once
					s.enqueue(key)
				}
				break
			}
			if !steps.MetWrite(err) || try == stepDownTries {
				s.alarms.raise(key, AlarmPrimary, fmt.Errorf("%q takes no writes (%s), and stays the primary: %w", failed.storage, failed.why, err))
				s.alarms.keep(key)
				log.Warn("the primary of a repository takes no writes, and cannot step down", "why", failed.why, "err", err)
				break
			}
			pause(ctx, backOffAfter(busyDelayMin, busyDelayMax, try, rand.Float64()))
		}
	}
}

// stepDown has the primary of a repository put behind, if it still is the primary: the
// next in-sync storage takes its place. New writes wait meanwhile. ▲ state-step-down-only-copy,
// state-step-down-in-doubt: The state refuses it unless that storage serves on another disk, and
// has every acknowledged write.
//
// Then the replica is removed, to be copied from nothing: a copy onto it could succeed,
// and leave the cause of the failed writes. It stays where that happens to many replicas of the
// storage: the storage is the matter then, and not its replicas.
func (s *stepDowner) stepDown(ctx context.Context, key state.Key, failed failedPrimary) (done, removed bool, err error) {
	if err := s.successor(ctx, key, failed.storage); err != nil {
		return false, false, err
	}
	guard, release, err := s.acquire(ctx, key, s.cfg.PauseBudget > 0)
	if err != nil {
		return false, false, err
	}
	ended := true
	defer func() { release(ended, failed.storage) }()
	limit := s.cfg.CopyFloor // counted from before the intent, as that of a copy
	removing, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	view, err := guard.OpenIntent(ctx, state.Scope{BoundMillis: limit.Milliseconds(), Targets: []string{failed.storage}})
	if err != nil {
		return false, false, fmt.Errorf("open an intent to have the primary step down: %w", err)
	}
	removing = s.stamp(removing, guard.OpenedAt()) // ▲ driver-token-dated-late: as in attempt.openIntent
	if primary, _ := view.PrimaryOf(key); primary.Name != failed.storage {
		return false, false, nil // it is another one by now
	}
	if err := s.propose(ctx, fmt.Sprintf("have %q step down", failed.storage), func(ctx context.Context) error {
		return guard.StepDown(ctx, failed.storage, state.Shorten(failed.why))
	}); err != nil {
		return false, false, err
	}
	s.troubles.breaks(key, failed.storage, failed.why)
	removed, ended, err = s.remove(ctx, removing, guard, key, failed)
	if err != nil { // it is behind, and a repair sees to it
		about(s.log, key).Warn("a primary has stepped down, and its replica is not removed", "storage", failed.storage, "err", err)
	}
	return true, removed, nil
}

// remove removes the replica of a primary that has stepped down, if it may be. ended tells
// that nothing of that can happen any more.
func (s *stepDowner) remove(ctx, removing context.Context, guard Guard, key state.Key, failed failedPrimary) (removed, ended bool, err error) {
	if isPool(key) { // others may borrow from it
		return false, true, nil
	}
	if n := s.troubles.failing(s.ledger.View(), key.VirtualStorage, failed.storage, s.cfg.RemakeAfter); n > s.cfg.RemakeMost {
		return false, true, fmt.Errorf("%d replicas of %q cannot be written: the storage is the matter", n, failed.storage)
	}
	permitted, err := s.permit(ctx, guard, key, failed.storage, "it took no writes: "+failed.why)
	if err != nil || !permitted {
		return false, true, err
	}
	if ended, err = s.calls.remove(removing, key, failed.storage); err != nil {
		return false, ended, err
	}
	s.metrics.remade.WithLabelValues(key.VirtualStorage, failed.storage).Inc()
	s.troubles.remade(key, failed.storage)
	return true, ended, nil
}

// successor returns an error unless the storage that would be the primary next can be
// reached, and git finds no fault in its replica.
func (s *stepDowner) successor(ctx context.Context, key state.Key, primary string) error {
	view := s.ledger.View()
	vs := view.VirtualStorage(key.VirtualStorage)
	if vs == nil {
		return nil // no storage of it is a primary
	}
	for st := range vs.InSync(view.Entry(key)) {
		if st.Name == primary {
			continue
		}
		has, err := s.calls.exists(ctx, key, st.Name)
		switch {
		case err != nil:
			return err
		case !has:
			return fmt.Errorf("%q lacks the repository", st.Name)
		}
		checking, cancel := context.WithTimeout(ctx, s.cfg.CopyTimeout)
		defer cancel()
		return s.calls.sound(checking, key, st.Name)
	}
	return errors.New("no other storage is in sync")
}

// StepDown asks that a repository's primary, which takes no writes although other
// storages could, give its place to the next in-sync storage. It never waits.
func (r *Replicator) StepDown(key state.Key, primary, why string) {
	r.stepDowner.add(key, primary, why)
}
