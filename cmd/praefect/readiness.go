package main

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"praefect/config"
	"praefect/fsm/state"
	"praefect/proxy/ledger"
	"praefect/proxy/storage"
)

var (
	errStarting = errors.New("starting")
	errStopping = errors.New("stopping")
)

var errNoLease = errors.New("no lease: this instance does not hear from a majority of the others")

// leased says why an instance may not route requests by the agreed state now, or
// nil: it has no lease, or its view is older than that of the lease.
func leased(intents *ledger.Ledger) error {
	if _, ok := intents.Reading(); !ok {
		return errNoLease
	}
	return nil
}

// firstAttempts bounds how long the daemon waits for storages that say nothing
// before it serves without them.
const firstAttempts = 2 * time.Second

// triedStorages waits until each storage was tried once, so that the first
// requests do not find storages away that nobody has asked yet.
func triedStorages(ctx context.Context, storages *storage.Set) error {
	bounded, cancel := context.WithTimeout(ctx, firstAttempts)
	defer cancel()
	if err := storages.Settled(bounded); err != nil {
		return ctx.Err() // the time is up, or the daemon is told to stop
	}
	return nil
}

// agreer is what agreed needs of the consensus node.
type agreer interface {
	View() *state.State
	Changed() <-chan struct{}
}

// agreed waits until the virtual storages of the settings, and the disks of the
// storages that are reached, are in the replicated state: requests that come
// before would find names unknown that the operator has configured.
func agreed(ctx context.Context, node agreer, cfg *config.Config, reached func() []storage.Reach) error {
	for {
		changed := node.Changed()
		if isAgreed(node.View(), cfg, reached()) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func isAgreed(view *state.State, cfg *config.Config, reached []storage.Reach) bool {
	for _, c := range cfg.VirtualStorages {
		if view.VirtualStorage(c.Name) == nil {
			return false
		}
	}
	for _, r := range reached {
		vs := view.VirtualStorage(r.VirtualStorage)
		if st := vs.Storage(r.Storage); r.Reachable && st != nil && st.FilesystemID == "" {
			return false
		}
	}
	return true
}

// readiness is what a load balancer is told.
type readiness struct {
	phase atomic.Pointer[error] // why the daemon as a whole takes no requests; nil if it does
	// node says why the replicated state cannot be used now, or nil.
	node func() error
}

func newReadiness(node func() error) *readiness {
	r := &readiness{node: node}
	r.phase.Store(&errStarting)
	return r
}

// check says why this instance should get no requests now, or nil.
func (r *readiness) check() error {
	if phase := r.phase.Load(); phase != nil {
		return *phase
	}
	return r.node()
}

// part is ready while it runs. It comes last: when the daemon stops, load
// balancers get the time drainWait to notice, before anything else ends.
func (r *readiness) part(drainWait time.Duration) part {
	return part{name: "readiness", run: func(ctx context.Context) error {
		r.phase.Store(nil)
		<-ctx.Done()
		r.phase.Store(&errStopping)
		return sleep(context.WithoutCancel(ctx), drainWait)
	}}
}

// sleep waits for d; it returns the error of ctx if that ends first.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
