package replicator

import (
	"context"
	"errors"
	"hash/maphash"
	"log/slog"
	"sync"
	"time"

	"praefect/fsm/state"
	"praefect/replicator/queue"
)

const (
	// cataloguePage bounds how many repositories one call to the catalogue carries.
	cataloguePage = 500
	// cataloguePause follows each page of a comparison, which has all the time.
	cataloguePause = 100 * time.Millisecond
	// catalogueRetry is the wait after a comparison that failed.
	catalogueRetry = 15 * time.Minute
)

// Catalogue gives numbers to repositories. The storages know better which ones exist: the
// catalogue may lack repositories, and list ones that are gone. Every call
// may fail while Postgres is away, and may be repeated.
type Catalogue interface {
	// Add makes entries for the given repositories that have none.
	Add(ctx context.Context, keys []state.Key) error
	// Remove removes the entries of repositories.
	Remove(ctx context.Context, keys []state.Key) error
	// Page returns the paths of a virtual storage's entries that come after one,
	// at most limit, in the order of their bytes.
	Page(ctx context.Context, virtualStorage, after string, limit int) ([]string, error)
}

// cataloguer keeps the catalogue near the truth: it looks after repositories
// that were created or removed, and compares everything now and then. Nothing waits for
// it, and a repository that it misses or drops is found by the next comparison.
type cataloguer struct {
	catalogue Catalogue
	ledger    Ledger
	leads     func() bool
	calls     *calls
	cfg       Config
	log       *slog.Logger
	metrics   *Metrics
	// gone tells whether no other storage has a repository that the primary lacks and the ledger
	// says nothing of: if one does, the primary has lost it.
	gone func(context.Context, state.Key) bool

	wake chan struct{} // holds 1: look at touched again

	mu      sync.Mutex
	touched map[state.Key]struct{} // guarded by mu
}

// touch notes that a repository may have come or gone. It never waits.
func (c *cataloguer) touch(key state.Key) {
	c.mu.Lock()
	if len(c.touched) < c.cfg.EnqueueLimit {
		c.touched[key] = struct{}{}
	} else {
		c.metrics.uncatalogued.Inc()
	}
	c.mu.Unlock()
	wake(c.wake)
}

// run works until ctx ends.
func (c *cataloguer) run(ctx context.Context) {
	if c.catalogue == nil {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { c.follow(ctx) })
	both.Go(func() { c.compareRegularly(ctx) })
	both.Wait()
}

// follow sees to the repositories that were touched.
func (c *cataloguer) follow(ctx context.Context) {
	for ctx.Err() == nil {
		batch := c.take()
		if len(batch) == 0 {
			await(ctx, c.wake)
			continue
		}
		if err := c.see(ctx, batch); err != nil && ctx.Err() == nil {
			c.metrics.uncatalogued.Add(float64(len(batch)))
			c.log.Debug("repositories are not catalogued now", "count", len(batch), "err", err)
		}
	}
}

func (c *cataloguer) take() (batch []state.Key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key := range c.touched {
		if len(batch) == cataloguePage {
			break
		}
		batch = append(batch, key)
		delete(c.touched, key)
	}
	return batch
}

// see makes the catalogue agree, for each repository, with its primary now, regardless
// of the event that touched it.
func (c *cataloguer) see(ctx context.Context, keys []state.Key) error {
	var there, gone []state.Key
	for _, key := range keys {
		has, err := c.exists(ctx, key)
		switch {
		case err != nil:
			about(c.log, key).Debug("a repository is not catalogued now", "err", err)
		case has:
			there = append(there, key)
		default:
			gone = append(gone, key)
		}
	}
	return errors.Join(c.call(ctx, c.catalogue.Add, there), c.call(ctx, c.catalogue.Remove, gone))
}

var errNoPrimary = errors.New("the repository has no primary now")

// exists asks the repository's primary whether it has it.
func (c *cataloguer) exists(ctx context.Context, key state.Key) (bool, error) {
	primary, ok := c.ledger.View().PrimaryOf(key)
	if !ok {
		return false, errNoPrimary
	}
	return c.calls.exists(ctx, key, primary.Name)
}

// call makes one call to the catalogue, unless there is nothing to say.
func (c *cataloguer) call(ctx context.Context, change func(context.Context, []state.Key) error, keys []state.Key) error {
	if len(keys) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.QueueTimeout)
	defer cancel()
	return change(ctx, keys)
}

// compareRegularly compares the catalogue with the storages while this instance
// leads: the first time when it has led for a while.
func (c *cataloguer) compareRegularly(ctx context.Context) {
	var due time.Time // zero: this instance did not lead
	for ; ctx.Err() == nil; pause(ctx, untilNext(time.Now(), backfillPoll)) {
		switch {
		case !c.leads():
			due = time.Time{}
		case due.IsZero():
			due = time.Now().Add(c.cfg.CatalogueDelay)
		case !time.Now().Before(due):
			due = time.Now().Add(c.cfg.CatalogueInterval)
			if err := c.compareAll(ctx); err != nil && ctx.Err() == nil {
				due = time.Now().Add(min(catalogueRetry, c.cfg.CatalogueInterval))
				level := slog.LevelWarn
				if errors.Is(err, queue.ErrUnavailable) || errors.Is(err, errDeposed) {
					level = slog.LevelDebug // it is known, and no fault
				}
				c.log.Log(ctx, level, "the catalogue was not compared with the storages to the end", "err", err)
			}
		}
	}
}

var errDeposed = errors.New("this instance does not lead any more")

func (c *cataloguer) compareAll(ctx context.Context) error {
	var errs []error
	for _, vs := range c.ledger.View().VirtualStorages {
		errs = append(errs, c.compare(ctx, vs.Name))
	}
	return errors.Join(errs...)
}

// compare adds the repositories that the primary of a virtual storage has, and removes
// the ones that are gone. A repository that has another primary, because it is behind on this one,
// is judged by the other one.
func (c *cataloguer) compare(ctx context.Context, virtualStorage string) error {
	primary, ok := c.ledger.View().PrimaryOf(state.Key{VirtualStorage: virtualStorage})
	if !ok {
		return errNoPrimary
	}
	seen := newSieve()
	page := make([]state.Key, 0, cataloguePage)
	for path, err := range c.calls.walk(ctx, virtualStorage, primary.Name) {
		if err != nil {
			return err
		}
		seen.add(path)
		if page = append(page, state.Key{VirtualStorage: virtualStorage, RelativePath: path}); len(page) == cataloguePage {
			if err := c.turn(ctx, c.catalogue.Add, page); err != nil {
				return err
			}
			page = page[:0]
		}
	}
	if err := c.turn(ctx, c.catalogue.Add, page); err != nil {
		return err
	}
	for after := ""; ; {
		paths, err := c.page(ctx, virtualStorage, after)
		if err != nil || len(paths) == 0 {
			return err
		}
		after = paths[len(paths)-1]
		page = page[:0]
		for _, path := range paths {
			if seen.has(path) {
				continue
			}
			key := state.Key{VirtualStorage: virtualStorage, RelativePath: path}
			if has, err := c.exists(ctx, key); err == nil && !has && c.gone(ctx, key) {
				page = append(page, key)
			}
		}
		if err := c.turn(ctx, c.catalogue.Remove, page); err != nil {
			return err
		}
	}
}

func (c *cataloguer) page(ctx context.Context, virtualStorage, after string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.QueueTimeout)
	defer cancel()
	return c.catalogue.Page(ctx, virtualStorage, after, cataloguePage)
}

// turn carries one page of a comparison out, and rests.
func (c *cataloguer) turn(ctx context.Context, change func(context.Context, []state.Key) error, page []state.Key) error {
	if !c.leads() {
		return errDeposed
	}
	if err := c.call(ctx, change, page); err != nil {
		return err
	}
	pause(ctx, cataloguePause)
	return ctx.Err()
}

// sieve remembers any number of paths in 16 MiB: by one bit each, so that it
// may take a path for one that it has seen, of ten million about one in fourteen.
// Another sieve errs about others.
type sieve struct {
	seed maphash.Seed
	bits []uint64
}

const sieveBits = 1 << 27

func newSieve() *sieve {
	return &sieve{seed: maphash.MakeSeed(), bits: make([]uint64, sieveBits/64)}
}

func (s *sieve) add(path string) {
	n := maphash.String(s.seed, path) % sieveBits
	s.bits[n/64] |= 1 << (n % 64)
}

func (s *sieve) has(path string) bool {
	n := maphash.String(s.seed, path) % sieveBits
	return s.bits[n/64]&(1<<(n%64)) != 0
}
