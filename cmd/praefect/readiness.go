package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"praefect/config"
	"praefect/fsm/condition"
	"praefect/fsm/reachability"
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
// nil: it may take no lease, has none, or its view is older than that of the lease.
func leased(intents *ledger.Ledger, barred func() string) error {
	if why := barred(); why != "" {
		return errors.New(why)
	}
	if _, ok := intents.Reading(); !ok {
		return errNoLease
	}
	return nil
}

// firstAttempts bounds how long the daemon waits for storages that say nothing
// before it serves without them.
const firstAttempts = 2 * time.Second

// triedStorages waits until each storage was tried once, so that the first requests do not find
// storages away that were not asked yet.
func triedStorages(ctx context.Context, storages *storage.Set) error {
	bounded, cancel := context.WithTimeout(ctx, firstAttempts)
	defer cancel()
	if err := storages.Settled(bounded); err != nil {
		return ctx.Err() // the time is up, or the daemon is told to stop
	}
	return nil
}

// agreer is the consensus node, as far as agreed needs it.
type agreer interface {
	View() *state.State
	Changed() <-chan struct{}
	// Ready is closed once the instance is registered, which takes a quorum.
	Ready() <-chan struct{}
}

// starting knows the reason for which a start waits.
type starting struct {
	// node says why the instance has not come to a cluster yet, "" if it has.
	node func() string
	// missing names the part that the replicated state lacks, nil if it was not looked for yet.
	missing atomic.Pointer[string]
}

// why is the reason for which the start waits, "" if there is nothing to say.
func (s *starting) why() string {
	if why := s.node(); why != "" {
		return why
	}
	if missing := s.missing.Load(); missing != nil {
		return *missing
	}
	return ""
}

// agreed waits until the replicated state has virtual storages of the settings, and the disks of
// the storages that are reached: requests that come before would find names unknown that the
// operator has configured. A virtual storage that the state lacks beside others keeps no client
// from using the others. Without a quorum nothing can be agreed on: requests are answered by the
// former state.
func (s *starting) agreed(ctx context.Context, node agreer, cfg *config.Config, reached func() []reachability.Observation, log *slog.Logger) error {
	select {
	case <-node.Ready():
	default:
		return nil
	}
	for {
		changed := node.Changed()
		view := node.View()
		missing := notAgreed(view, cfg, reached())
		s.missing.Store(&missing)
		if missing == "" {
			if lacking := undefined(view, cfg); len(lacking) > 0 {
				log.WarnContext(ctx, "virtual storages of the settings are not defined yet, and requests for them fail; they are when every instance has them in its settings",
					"virtual_storage", strings.Join(lacking, ", "))
			}
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// undefined are the virtual storages of the settings that the state lacks.
func undefined(view *state.State, cfg *config.Config) []string {
	var names []string
	for _, c := range cfg.VirtualStorages {
		if view.VirtualStorage(c.Name) == nil {
			names = append(names, c.Name)
		}
	}
	return names
}

// notAgreed names the part that the state must get before requests can be served, "" if it lacks
// nothing.
func notAgreed(view *state.State, cfg *config.Config, reached []reachability.Observation) string {
	if lacking := undefined(view, cfg); len(lacking) == len(cfg.VirtualStorages) {
		return "no virtual storage of the settings is defined yet: " + strings.Join(lacking, ", ")
	}
	for _, r := range reached {
		vs := view.VirtualStorage(r.VirtualStorage)
		if vs == nil {
			continue
		}
		if st := vs.Storage(r.Storage); r.Reachable && st != nil && st.FilesystemID == "" {
			return fmt.Sprintf("the disk of storage %q of %q is not agreed on yet", r.Storage, r.VirtualStorage)
		}
	}
	return ""
}

// readiness is the answer to a load balancer.
type readiness struct {
	phase atomic.Pointer[error] // why the daemon as a whole takes no requests; nil if it does
	// starting is the reason for which the start waits, "" if there is nothing to say.
	starting func() string
	// node says why the replicated state cannot be used now, or nil.
	node func() error
	// conditions are the other faults. They are told, and decide nothing: a
	// balancer would take an instance out because a storage is down.
	conditions func() []condition.Condition
}

func newReadiness(starting func() string, node func() error, conditions func() []condition.Condition) *readiness {
	r := &readiness{starting: starting, node: node, conditions: conditions}
	r.phase.Store(&errStarting)
	return r
}

// check says why this instance should get no requests now, or nil.
func (r *readiness) check() error {
	if phase := r.phase.Load(); phase != nil {
		if why := r.starting(); *phase == errStarting && why != "" {
			return fmt.Errorf("%w: %s", errStarting, why)
		}
		return *phase
	}
	return r.node()
}

// lines are one for each condition that is known.
func (r *readiness) lines() []string {
	var lines []string
	for _, c := range r.conditions() {
		lines = append(lines, string(c.Level)+": "+string(c.Name)+": "+c.Text)
	}
	return lines
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
