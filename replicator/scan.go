package replicator

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"praefect/fsm/state"
)

// leftLimit bounds how many repositories a scan puts off. Beyond it something
// is wrong with more than repositories, and it begins anew.
const leftLimit = 1000

// scan is one attempt to backfill storages. A repository is dealt with when it was
// declared in sync on each of them, or when the ledger says that they are
// behind, so that it is repaired after they serve and is not read from them
// before. Neither can be lost while the backfilling lasts: a write that comes later
// finds the storages backfilling, and its intent makes them behind.
type scan struct {
	*backfiller
	work           context.Context // ends the calls under way
	virtualStorage string
	backfillings   []backfilling

	leftMu sync.Mutex
	left   map[string]error // paths not dealt with, and why; guarded by leftMu
}

// everything looks at every repository: the ones that an uncompared storage came with, the
// ones on each serving storage, and the ones in the ledger. A repository that only a storage being
// backfilled has was copied to the primary, or is in conflict, or was deleted, which is in the
// ledger.
func (s *scan) everything(ctx context.Context) error {
	sources, err := s.sources()
	if err != nil {
		return err
	}
	if err := s.compareAll(ctx); err != nil {
		return err
	}
	total := 0
	for _, err := range s.calls.walk(ctx, s.virtualStorage, sources[0]) {
		if err != nil {
			return err
		}
		total++
	}
	s.report(s.virtualStorage, func(f *Backfill) { f.Storages, f.Total = s.names(), total })

	for i, source := range sources {
		// A repository that the sources before have was dealt with, or was created since.
		if err := s.walked(ctx, source, func(ctx context.Context, path string) error {
			if there, err := s.onAny(ctx, path, sources[:i]); there || err != nil {
				return err
			}
			return s.deal(ctx, path)
		}); err != nil {
			return err
		}
	}
	return s.recorded(ctx)
}

// sources are the serving storages, the primary first. All of them must be
// reached: a repository on one of them only is neither missed nor removed.
func (s *scan) sources() ([]string, error) {
	vs := s.ledger.View().VirtualStorage(s.virtualStorage)
	if vs == nil {
		return nil, fmt.Errorf("virtual storage %q is not defined", s.virtualStorage)
	}
	var sources []string
	for i := range vs.Succession {
		switch st := &vs.Succession[i]; st.State {
		case state.Serving:
			if !s.calls.reachable(vs.Name, st.Name) {
				return nil, fmt.Errorf("storage %q serves and cannot be reached", st.Name)
			}
			sources = append(sources, st.Name)
		case state.Fenced:
			return nil, fmt.Errorf("storage %q is fenced", st.Name)
		}
	}
	if len(sources) == 0 {
		return nil, fmt.Errorf("no storage of %q serves", s.virtualStorage)
	}
	return sources, nil
}

// walked sees to every repository on a storage: it goes through them as they come, as many at a
// time as there are workers.
func (s *scan) walked(ctx context.Context, storage string, see func(ctx context.Context, path string) error) error {
	group, seeing := errgroup.WithContext(ctx)
	group.SetLimit(s.cfg.BackfillWorkers)
	var walkErr error
	for path, err := range s.calls.walk(seeing, s.virtualStorage, storage) {
		if err != nil {
			walkErr = err
			break
		}
		group.Go(func() error { return see(seeing, path) })
	}
	if err := group.Wait(); err != nil {
		return err // it ended the walk, too
	}
	return walkErr
}

// recorded deals with the repositories for which the ledger says that a storage
// being backfilled is behind.
func (s *scan) recorded(ctx context.Context) error {
	group, dealing := errgroup.WithContext(ctx)
	group.SetLimit(s.cfg.BackfillWorkers)
	s.ledger.View().Each(s.virtualStorage, func(key state.Key, e *state.Entry) bool {
		if slices.ContainsFunc(s.backfillings, func(f backfilling) bool { return e.IsBehind(f.storage) }) {
			group.Go(func() error { return s.deal(dealing, key.RelativePath) })
		}
		return dealing.Err() == nil
	})
	if err := group.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

// onAny reports whether any of the storages has the repository.
func (s *scan) onAny(ctx context.Context, path string, storages []string) (bool, error) {
	for _, storage := range storages {
		if has, err := s.calls.exists(ctx, s.key(path), storage); has || err != nil {
			return has, err
		}
	}
	return false, nil
}

// deal deals with one repository, or puts it off. It fails only if the scan has
// become pointless.
func (s *scan) deal(ctx context.Context, path string) error {
	if err := s.await(ctx); err != nil {
		return err
	}
	s.report(s.virtualStorage, func(f *Backfill) { f.Current = path })
	alike, err := s.alikeEverywhere(ctx, path)
	if err != nil || !alike {
		err = s.try(ctx, path)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	s.leftMu.Lock()
	defer s.leftMu.Unlock()
	_, again := s.left[path]
	delete(s.left, path)
	if err != nil {
		s.left[path] = err
	}
	s.report(s.virtualStorage, func(f *Backfill) {
		f.Left = len(s.left)
		if !again {
			f.Done++
		}
	})
	if len(s.left) > leftLimit {
		return fmt.Errorf("more than %d repositories cannot be copied, %q among them: %w", leftLimit, path, err)
	}
	return nil
}

// await waits, for a while, until every storage being backfilled can be called: a
// connection that breaks must not undo hours of copying. It fails if the scan
// has become pointless.
func (s *scan) await(ctx context.Context) error {
	for began := time.Now(); ; pause(ctx, backfillPoll) {
		if err := s.current(); err != nil {
			return err
		}
		i := slices.IndexFunc(s.backfillings, func(f backfilling) bool { return !s.calls.reachable(s.virtualStorage, f.storage) })
		switch {
		case i < 0:
			return ctx.Err()
		case ctx.Err() != nil || time.Since(began) > s.cfg.BackfillRetry:
			return fmt.Errorf("storage %q cannot be reached", s.backfillings[i].storage)
		}
	}
}

// try repairs one repository a few times. It returns nil when the repository is
// dealt with.
func (s *scan) try(ctx context.Context, path string) error {
	key := s.key(path)
	for failures := 0; ; failures++ {
		out := s.repair(s.work, repairRequest{key: key, backfilling: true, stopped: func() bool { return ctx.Err() != nil }})
		missing := s.missing(key, out.synced)
		if out.err == nil && out.again == 0 && missing == "" {
			return nil
		}
		if failures+1 < s.cfg.BackfillTries {
			delay := out.again
			if delay == 0 {
				delay = backOffAfter(s.cfg.RetryMin, s.cfg.RetryMax, failures+1, rand.Float64())
			}
			pause(ctx, min(delay, busyDelayMax))
			if ctx.Err() == nil {
				continue
			}
		}
		if missing == "" {
			s.enqueue(key)
			return nil
		}
		if out.err != nil {
			return out.err
		}
		return fmt.Errorf("%q was not copied to %q", path, missing)
	}
}

// missing returns a storage being backfilled for which the repository is neither
// just declared in sync nor recorded as behind.
func (s *scan) missing(key state.Key, synced []string) string {
	entry := s.ledger.View().Entry(key)
	for _, f := range s.backfillings {
		if !entry.IsBehind(f.storage) && !slices.Contains(synced, f.storage) {
			return f.storage
		}
	}
	return ""
}

// current fails if the scan has become pointless.
func (s *scan) current() error {
	vs := s.ledger.View().VirtualStorage(s.virtualStorage)
	for _, f := range s.backfillings {
		if vs == nil {
			break
		}
		if st := vs.Storage(f.storage); st == nil || st.State != state.Backfilling || st.Since != f.since {
			return fmt.Errorf("the backfilling of %q began anew or ended", f.storage)
		}
	}
	return nil
}

// leftovers deals with the paths that were put off, again and again, until nothing is
// left.
func (s *scan) leftovers(ctx context.Context) error {
	for failures := 1; ; failures++ {
		s.leftMu.Lock()
		paths := slices.Sorted(maps.Keys(s.left))
		s.leftMu.Unlock()
		if len(paths) == 0 {
			return nil
		}
		s.log.Info("repositories keep a storage from serving", "virtual_storage", s.virtualStorage,
			"count", len(paths), "relative_path", paths[0])
		pause(ctx, backOffAfter(backfillPoll, s.cfg.BackfillRetry, failures, rand.Float64()))
		for _, path := range paths {
			if err := s.deal(ctx, path); err != nil {
				return err
			}
		}
	}
}

func (s *scan) key(path string) state.Key {
	return state.Key{VirtualStorage: s.virtualStorage, RelativePath: path}
}

func (s *scan) names() []string {
	names := make([]string, len(s.backfillings))
	for i, f := range s.backfillings {
		names[i] = f.storage
	}
	return names
}

func (s *scan) progress() Backfill {
	s.mu.Lock()
	defer s.mu.Unlock()
	if backfill := s.backfills[s.virtualStorage]; backfill != nil {
		return *backfill
	}
	return Backfill{}
}
