package replicator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"praefect/fsm/state"
)

// backfillPoll is how often the backfiller looks for storages to backfill.
const backfillPoll = time.Second

// Backfill is how far the backfilling of the storages of one virtual storage is.
type Backfill struct {
	VirtualStorage string `json:"virtual_storage"`
	// Storages are the ones being backfilled.
	Storages []string `json:"storages"`
	// Total is how many repositories the scan will look at, as counted at its
	// start: repositories created since come on top.
	Total int `json:"total"`
	// Done is how many it has dealt with, Left how many of them it has put off.
	Done int `json:"done"`
	Left int `json:"left"`
	// Current is a repository that it is at.
	Current string `json:"current,omitempty"`
}

// backfiller backfills storages that are new, or came back with another disk. It needs
// no queue. A scan that is interrupted begins from the start: it remembers
// nothing that the replicated state does not.
type backfiller struct {
	ledger  Ledger
	leads   func() bool
	calls   *calls
	repair  func(context.Context, repairRequest) outcome
	enqueue func(state.Key)
	// firstCopy decides about the replicas that storages came with.
	firstCopy *firstCopier
	cfg       Config
	log       *slog.Logger
	metrics   *Metrics

	mu        sync.Mutex
	backfills map[string]*Backfill // by virtual storage; guarded by mu
}

// backfilling is one storage to backfill, as the replicated state described it when the
// scan began.
type backfilling struct {
	storage, filesystemID string
	since                 state.Index
}

// run backfills the storages that need it until ctx ends; work ends the calls under way.
func (f *backfiller) run(ctx, work context.Context) {
	var scans sync.WaitGroup
	defer scans.Wait()
	tended := make(map[string]bool)
	for ctx.Err() == nil {
		view := f.ledger.View()
		for i := range view.VirtualStorages {
			if name := view.VirtualStorages[i].Name; !tended[name] {
				tended[name] = true
				scans.Go(func() { f.tend(ctx, work, name) })
			}
		}
		pause(ctx, untilNext(time.Now(), backfillPoll))
	}
}

// tend backfills the storages of one virtual storage, whenever there are any.
func (f *backfiller) tend(ctx, work context.Context, virtualStorage string) {
	failures, last := 0, ""
	rechecked := time.Now()
	for ctx.Err() == nil {
		backfillings := f.due(virtualStorage)
		if len(backfillings) == 0 || !f.leads() {
			failures, last = 0, ""
			if f.leads() && time.Since(rechecked) > conflictRetry {
				f.firstCopy.recheck(work, virtualStorage)
				rechecked = time.Now()
			}
			pause(ctx, untilNext(time.Now(), backfillPoll))
			continue
		}
		err := f.backfillAsLeader(ctx, work, virtualStorage, backfillings)
		if err == nil || ctx.Err() != nil {
			failures = 0
			continue
		}
		if text := err.Error(); text != last {
			last = text
			f.log.Warn("backfilling of a storage was interrupted and will begin anew", "virtual_storage", virtualStorage, "err", err)
		}
		failures++
		pause(ctx, backOffAfter(backfillPoll, f.cfg.BackfillRetry, failures, rand.Float64()))
	}
}

// backfillAsLeader is backfill while this instance leads. Two at a time would do no
// harm, only the work twice.
func (f *backfiller) backfillAsLeader(ctx, work context.Context, virtualStorage string, backfillings []backfilling) error {
	leading, cancel := context.WithCancel(ctx)
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel()
	watching.Go(func() {
		for leading.Err() == nil && f.leads() {
			pause(leading, backfillPoll)
		}
		cancel()
	})
	err := f.backfill(leading, work, virtualStorage, backfillings)
	if err != nil && leading.Err() != nil {
		return nil // another leader goes on
	}
	return err
}

// due returns the storages that can be backfilled now: they are reached, with the
// disk that the state speaks of.
func (f *backfiller) due(virtualStorage string) []backfilling {
	vs := f.ledger.View().VirtualStorage(virtualStorage)
	if vs == nil {
		return nil
	}
	var due []backfilling
	for i := range vs.Succession {
		st := &vs.Succession[i]
		if st.State == state.Backfilling && st.FilesystemID != "" && f.calls.reachable(virtualStorage, st.Name) {
			due = append(due, backfilling{st.Name, st.FilesystemID, st.Since})
		}
	}
	return due
}

// backfill copies everything to the storages, and has them serve. If we die at any
// point, they are still backfilling.
func (f *backfiller) backfill(ctx, work context.Context, virtualStorage string, backfillings []backfilling) error {
	s := &scan{backfiller: f, work: work, virtualStorage: virtualStorage, backfillings: backfillings, left: make(map[string]error)}
	defer f.forget(virtualStorage)
	f.log.Info("backfilling storages", "virtual_storage", virtualStorage, "storages", s.names())
	began := time.Now()
	if err := s.everything(ctx); err != nil {
		return err
	}
	if err := s.leftovers(ctx); err != nil {
		return err
	}
	if err := f.serve(ctx, virtualStorage, backfillings); err != nil {
		return err
	}
	f.log.Info("storages are backfilled and serve", "virtual_storage", virtualStorage, "storages", s.names(),
		"repositories", s.progress().Done, "seconds", int(time.Since(began).Seconds()))
	return nil
}

// serve has the backfilled storages serve. One whose backfilling began anew meanwhile
// is refused, and is backfilled again.
func (f *backfiller) serve(ctx context.Context, virtualStorage string, backfillings []backfilling) error {
	return f.propose(ctx, "serves", backfillings, func(b backfilling) state.Command {
		return state.Command{Rejoin: &state.Rejoin{VirtualStorage: virtualStorage, Storage: b.storage, FilesystemID: b.filesystemID, Backfilled: b.since}}
	})
}

// propose has the state say something of each of the storages.
func (f *backfiller) propose(ctx context.Context, what string, backfillings []backfilling, command func(backfilling) state.Command) error {
	cmds := make([]state.Command, len(backfillings))
	for i, b := range backfillings {
		cmds[i] = command(b)
	}
	ctx, cancel := context.WithTimeout(ctx, proposeTimeout)
	defer cancel()
	results, err := f.ledger.Propose(ctx, cmds...)
	if err != nil {
		return fmt.Errorf("propose that a backfilled storage %s: %w", what, err)
	}
	var refused []error
	for i, result := range results {
		if result.Refusal != nil {
			refused = append(refused, fmt.Errorf("propose that %q %s: %w", backfillings[i].storage, what, result.Refusal))
		}
	}
	return errors.Join(refused...)
}

// list returns how far the backfillings are, by virtual storage.
func (f *backfiller) list() []Backfill {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := make([]Backfill, 0, len(f.backfills))
	for _, backfill := range f.backfills {
		list = append(list, *backfill)
	}
	slices.SortFunc(list, func(a, b Backfill) int { return strings.Compare(a.VirtualStorage, b.VirtualStorage) })
	return list
}

// report changes the displayed facts of a backfilling.
func (f *backfiller) report(virtualStorage string, change func(*Backfill)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	backfill := f.backfills[virtualStorage]
	if backfill == nil {
		backfill = &Backfill{VirtualStorage: virtualStorage}
		f.backfills[virtualStorage] = backfill
	}
	change(backfill)
	for name, n := range map[string]int{"total": backfill.Total, "done": backfill.Done, "left": backfill.Left} {
		f.metrics.backfilled.WithLabelValues(virtualStorage, name).Set(float64(n))
	}
}

func (f *backfiller) forget(virtualStorage string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.backfills, virtualStorage)
	f.metrics.backfilled.DeletePartialMatch(map[string]string{"virtual_storage": virtualStorage})
}
