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

// fillPoll is how often the filler looks for storages to fill.
const fillPoll = time.Second

// Fill is how far the filling of the storages of one virtual storage is.
type Fill struct {
	VirtualStorage string `json:"virtual_storage"`
	// Storages are those being filled.
	Storages []string `json:"storages"`
	// Total is how many repositories the scan will look at, as counted at its
	// start: those created since come on top, and those that only a storage
	// being filled has.
	Total int `json:"total"`
	// Done is how many it has dealt with, Left how many of them it has put off.
	Done int `json:"done"`
	Left int `json:"left"`
	// Current is a repository that it is at.
	Current string `json:"current,omitempty"`
}

// filler fills storages that are new, or came back with another disk. It needs
// no queue. A scan that is interrupted begins from the start: it remembers
// nothing that the replicated state does not.
type filler struct {
	ledger  Ledger
	leads   func() bool
	calls   *calls
	repair  func(context.Context, order) outcome
	enqueue func(state.Key)
	cfg     Config
	log     *slog.Logger
	metrics *Metrics

	mu    sync.Mutex
	fills map[string]*Fill // by virtual storage; guarded by mu
}

// filling is one storage to fill, as the replicated state described it when the
// scan began.
type filling struct {
	storage, filesystemID string
	since                 state.Index
}

// run fills what is to be filled until ctx ends; work ends the calls under way.
func (f *filler) run(ctx, work context.Context) {
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
		pause(ctx, fillPoll)
	}
}

// tend fills the storages of one virtual storage, whenever there are any.
func (f *filler) tend(ctx, work context.Context, virtualStorage string) {
	failures, last := 0, ""
	for ctx.Err() == nil {
		fillings := f.due(virtualStorage)
		if len(fillings) == 0 || !f.leads() {
			failures, last = 0, ""
			pause(ctx, fillPoll)
			continue
		}
		err := f.fillAsLeader(ctx, work, virtualStorage, fillings)
		if err == nil || ctx.Err() != nil {
			failures = 0
			continue
		}
		if text := err.Error(); text != last {
			last = text
			f.log.Warn("filling of a storage was interrupted and will begin anew", "virtual_storage", virtualStorage, "err", err)
		}
		failures++
		pause(ctx, backoff(fillPoll, f.cfg.FillRetry, failures, rand.Float64()))
	}
}

// fillAsLeader is fill while this instance leads. Two at a time would do no
// harm, only the work twice.
func (f *filler) fillAsLeader(ctx, work context.Context, virtualStorage string, fillings []filling) error {
	leading, cancel := context.WithCancel(ctx)
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel()
	watching.Go(func() {
		for leading.Err() == nil && f.leads() {
			pause(leading, fillPoll)
		}
		cancel()
	})
	err := f.fill(leading, work, virtualStorage, fillings)
	if err != nil && leading.Err() != nil {
		return nil // somebody else goes on
	}
	return err
}

// due returns the storages that can be filled now: they are reached, with the
// disk that the state speaks of.
func (f *filler) due(virtualStorage string) []filling {
	vs := f.ledger.View().VirtualStorage(virtualStorage)
	if vs == nil {
		return nil
	}
	var due []filling
	for i := range vs.Succession {
		st := &vs.Succession[i]
		if st.Standing == state.Filling && st.FilesystemID != "" && f.calls.reachable(virtualStorage, st.Name) {
			due = append(due, filling{st.Name, st.FilesystemID, st.Since})
		}
	}
	return due
}

// fill copies everything to the storages, and has them serve. If we die at any
// point, they are still filling.
func (f *filler) fill(ctx, work context.Context, virtualStorage string, fillings []filling) error {
	s := &scan{filler: f, work: work, virtualStorage: virtualStorage, fillings: fillings, left: make(map[string]error)}
	defer f.forget(virtualStorage)
	f.log.Info("filling storages", "virtual_storage", virtualStorage, "storages", s.names())
	began := time.Now()
	if err := s.everything(ctx); err != nil {
		return err
	}
	if err := s.leftovers(ctx); err != nil {
		return err
	}
	if err := f.serve(ctx, virtualStorage, fillings); err != nil {
		return err
	}
	f.log.Info("storages are filled and serve", "virtual_storage", virtualStorage, "storages", s.names(),
		"repositories", s.progress().Done, "seconds", int(time.Since(began).Seconds()))
	return nil
}

// serve has the filled storages serve. One whose filling began anew meanwhile
// is refused, and is filled again.
func (f *filler) serve(ctx context.Context, virtualStorage string, fillings []filling) error {
	cmds := make([]state.Command, len(fillings))
	for i, filled := range fillings {
		cmds[i].Return = &state.Return{
			VirtualStorage: virtualStorage, Storage: filled.storage, FilesystemID: filled.filesystemID, Filled: filled.since,
		}
	}
	ctx, cancel := context.WithTimeout(ctx, proposeTimeout)
	defer cancel()
	results, err := f.ledger.Propose(ctx, cmds...)
	if err != nil {
		return fmt.Errorf("propose that the filled storages serve: %w", err)
	}
	var refused []error
	for i, result := range results {
		if result.Refusal != nil {
			refused = append(refused, fmt.Errorf("propose that %q serves: %w", fillings[i].storage, result.Refusal))
		}
	}
	return errors.Join(refused...)
}

// list returns how far the fillings are, by virtual storage.
func (f *filler) list() []Fill {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := make([]Fill, 0, len(f.fills))
	for _, fill := range f.fills {
		list = append(list, *fill)
	}
	slices.SortFunc(list, func(a, b Fill) int { return strings.Compare(a.VirtualStorage, b.VirtualStorage) })
	return list
}

// report changes what is shown of a filling.
func (f *filler) report(virtualStorage string, change func(*Fill)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fill := f.fills[virtualStorage]
	if fill == nil {
		fill = &Fill{VirtualStorage: virtualStorage}
		f.fills[virtualStorage] = fill
	}
	change(fill)
	for name, n := range map[string]int{"total": fill.Total, "done": fill.Done, "left": fill.Left} {
		f.metrics.filled.WithLabelValues(virtualStorage, name).Set(float64(n))
	}
}

func (f *filler) forget(virtualStorage string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.fills, virtualStorage)
	f.metrics.filled.DeletePartialMatch(map[string]string{"virtual_storage": virtualStorage})
}
