package replicator

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"praefect/fsm/repair"
	"praefect/fsm/state"
	"praefect/replicator/plan"
)

// conflictRetry is how often the conflicts are compared once more: a client may have pushed
// the data to the primary that it lacked.
const conflictRetry = 5 * time.Minute

// errAgain asks for another comparison: the state has moved on meanwhile.
var errAgain = errors.New("the repository is compared once more")

// compareAll compares, for each storage of the scan that is uncompared, every
// replica that it came with, and has the state say so. Nothing on these storages is
// overwritten or removed before.
//
// If we die at any point they are still uncompared, and are compared from the
// start; a conflict that was recorded stays.
func (s *scan) compareAll(ctx context.Context) error {
	for _, f := range s.backfillings {
		for _, pools := range []bool{true, false} { // a repository that borrows from a pool comes after it
			if err := s.compareStorage(ctx, f.storage, pools); err != nil {
				return err
			}
		}
		if err := s.endComparison(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

// uncompared are the storages of the scan that are.
func (s *scan) uncompared() []string {
	var names []string
	vs := s.ledger.View().VirtualStorage(s.virtualStorage)
	for _, f := range s.backfillings {
		if vs == nil {
			return nil
		}
		if st := vs.Storage(f.storage); st != nil && st.Uncompared != "" {
			names = append(names, f.storage)
		}
	}
	return names
}

// compareStorage compares the object pools on one storage, or the rest.
func (s *scan) compareStorage(ctx context.Context, storage string, pools bool) error {
	if !slices.Contains(s.uncompared(), storage) {
		return nil
	}
	return s.walked(ctx, storage, func(ctx context.Context, path string) error {
		if key := s.key(path); isPool(key) == pools {
			return s.compareKey(ctx, key)
		}
		return nil
	})
}

// compareKey compares the replicas of one repository on all uncompared storages
// with the primary's, until nothing is left to do about them.
func (s *scan) compareKey(ctx context.Context, key state.Key) error {
	if err := s.await(ctx); err != nil {
		return err
	}
	s.report(s.virtualStorage, func(f *Backfill) { f.Current = key.RelativePath })
	for failures := 1; ; failures++ {
		err := s.compareOnce(ctx, key)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, errAgain) && failures < 2*s.cfg.BackfillTries:
		case failures >= s.cfg.BackfillTries:
			return fmt.Errorf("compare the replicas of %q: %w", key.RelativePath, err)
		}
		pause(ctx, min(backOffAfter(busyDelayMin, s.cfg.BackfillRetry, failures, rand.Float64()), s.cfg.BackfillRetry))
	}
}

func (s *scan) compareOnce(ctx context.Context, key state.Key) error {
	for _, storage := range s.uncompared() {
		if err := s.firstCopy.meet(s.work, key, storage); err != nil {
			return err
		}
	}
	return nil
}

// endComparison has the state say that the storage is compared.
func (s *scan) endComparison(ctx context.Context, f backfilling) error {
	if !slices.Contains(s.uncompared(), f.storage) {
		return s.current()
	}
	if err := s.propose(ctx, "is compared", []backfilling{f}, func(f backfilling) state.Command {
		return state.Command{Compared: &state.Compared{VirtualStorage: s.virtualStorage, Storage: f.storage, Since: f.since}}
	}); err != nil {
		return err
	}
	s.log.Info("what a storage came with is compared", "virtual_storage", s.virtualStorage, "storage", f.storage)
	return nil
}

// alikeEverywhere tells whether a clean repository is the same on the primary
// and on all storages of the scan already. A write that comes meanwhile makes them
// behind by its intent.
func (s *scan) alikeEverywhere(ctx context.Context, path string) (bool, error) {
	view, key := s.ledger.View(), s.key(path)
	primary, ok := view.PrimaryOf(key)
	if !ok || view.Entry(key) != nil {
		return false, nil
	}
	return s.calls.alike(ctx, key, primary.Name, s.names())
}

// firstCopier decides about the replicas that storages came with.
type firstCopier struct {
	*repairer
	enqueue func(state.Key)
}

// meet compares a storage's replica of one repository with the primary's, and takes the
// step that follows: nothing, an advance, or a conflict. errAgain and the errors that steps.MetWrite
// knows ask to be called once more.
func (f *firstCopier) meet(ctx context.Context, key state.Key, storage string) error {
	view := f.ledger.View()
	vs := view.VirtualStorage(key.VirtualStorage)
	if vs == nil || vs.Storage(storage) == nil {
		return nil
	}
	entry := view.Entry(key)
	if entry != nil && entry.Advancing != "" {
		out := f.repair(ctx, repairRequest{key: key}) // it may have to wait for a bound
		return errors.Join(errAgain, out.err, errors.New("an advance of it was interrupted"))
	}
	primary, ok := vs.Primary(entry)
	if !ok {
		return f.conflictWithout(ctx, key, storage)
	}
	m, err := f.calls.meet(ctx, key, primary.Name, storage)
	if err != nil {
		return err
	}
	m.Founding, m.Clean = vs.Storage(storage).Uncompared == state.UncomparedFounding, entry == nil
	switch plan.Meet(m.Newcomer) {
	case plan.FirstAdvance:
		return f.advance(ctx, key, primary.Name, storage)
	case plan.FirstConflict:
		return f.conflict(ctx, key, storage)
	}
	if entry.InConflict(storage) {
		return f.conflict(ctx, key, storage) // which ends it
	}
	return nil
}

// conflictWithout keeps a replica that can be compared with nothing now, unless there
// is none. It is compared once the repository has a primary.
func (f *firstCopier) conflictWithout(ctx context.Context, key state.Key, storage string) error {
	has, err := f.calls.exists(ctx, key, storage)
	if err != nil || !has || f.ledger.View().Entry(key).InConflict(storage) {
		return err
	}
	return f.conflict(ctx, key, storage)
}

// conflict compares once more, while writes wait, and records the result.
func (f *firstCopier) conflict(ctx context.Context, key state.Key, storage string) error {
	guard, done, err := f.acquire(ctx, key, f.cfg.PauseBudget > 0)
	if err != nil {
		return err
	}
	defer done(true)
	view, err := guard.OpenIntent(ctx, state.Scope{RefsOnly: true})
	if err != nil {
		return fmt.Errorf("open an intent to compare the repository: %w", err)
	}
	vs, entry := view.VirtualStorage(key.VirtualStorage), view.Entry(key)
	if vs == nil || vs.Storage(storage) == nil {
		return nil
	}
	var conflicts []state.Conflict
	if entry != nil {
		conflicts = slices.DeleteFunc(slices.Clone(entry.Conflicts), func(c state.Conflict) bool { return c.Storage == storage })
	}
	found := state.Conflict{Storage: storage, Time: time.Now().UnixMilli()}
	decision, names := plan.FirstConflict, ""
	if primary, ok := vs.Primary(entry); ok {
		m, err := f.calls.meet(ctx, key, primary.Name, storage)
		if err != nil {
			return err
		}
		if decision = plan.Meet(m.Newcomer); decision == plan.FirstConflict {
			found, names = f.calls.describe(ctx, key, primary.Name, storage, m), m.names()
		}
	}
	was := entry.InConflict(storage)
	if decision == plan.FirstConflict {
		conflicts = append(conflicts, found)
	} else if !was {
		return nil
	}
	if invalidated(guard) {
		return repair.ErrInvalidated
	}
	if err := f.propose(ctx, fmt.Sprintf("record the conflict of %q", storage), func(ctx context.Context) error {
		return guard.MarkConflict(ctx, conflicts)
	}); err != nil {
		return err
	}
	log := about(f.log, key).With("storage", storage)
	switch {
	case decision != plan.FirstConflict:
		log.Info("a repository is in conflict no longer: the primary contains the replica")
		f.enqueue(key)
	case !was:
		log.Warn("a repository is in conflict: the storage has what the primary lacks; both replicas are kept; see praefectctl dataloss",
			"primary", found.Primary, "differing_references", found.Differing, "references", names)
	}
	return nil
}

// recheck compares the conflicts of one virtual storage once more. It needs no
// queue; a comparison that it cannot make now it makes the next time.
func (f *firstCopier) recheck(ctx context.Context, virtualStorage string) {
	type found struct {
		key     state.Key
		storage string
	}
	var all []found
	view := f.ledger.View()
	if view.InConflict(virtualStorage) == 0 {
		return
	}
	view.Each(virtualStorage, func(key state.Key, e *state.Entry) bool {
		for i := range e.Conflicts {
			if name := e.Conflicts[i].Storage; f.calls.reachable(virtualStorage, name) {
				all = append(all, found{key, name})
			}
		}
		return len(all) < reconcilePage
	})
	for _, one := range all {
		if ctx.Err() != nil {
			return
		}
		if err := f.recheckOne(ctx, one.key, one.storage); err != nil && ctx.Err() == nil {
			about(f.log, one.key).Debug("a conflict could not be compared once more", "storage", one.storage, "err", err)
		}
	}
}

// recheckOne takes the repair lock only if the conflict is over.
func (f *firstCopier) recheckOne(ctx context.Context, key state.Key, storage string) error {
	primary, ok := f.ledger.View().PrimaryOf(key)
	if !ok {
		return nil
	}
	m, err := f.calls.meet(ctx, key, primary.Name, storage)
	if err != nil || plan.Meet(m.Newcomer) == plan.FirstConflict {
		return err
	}
	return f.conflict(ctx, key, storage)
}
