// Package storage owns the connections from this instance to the storages. It promises that a Conn
// is one network connection, verified to lead to a known disk, which never turns into another one;
// and that it reports a storage that is gone or silent within a stated time. The proxy and the
// replicator get their connections here; cmd runs it.
package storage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"praefect/fsm/reachability"
)

// Set keeps one connection to each of its storages.
type Set struct {
	links []*link // in the order of the targets
	byKey map[key]*link

	mu      sync.Mutex
	changed chan struct{} // guarded by mu; closed and replaced at each change
}

type key struct{ virtualStorage, storage string }

// New checks the targets and settings, and reports all faults of the targets
// at once. It does no I/O.
func New(targets []Target, log *slog.Logger, metrics *Metrics, cfg Config) (*Set, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Set{byKey: make(map[key]*link, len(targets)), changed: make(chan struct{})}
	var faults []error
	for _, t := range targets {
		addr, err := parseAddress(t.Address)
		if err != nil {
			faults = append(faults, fmt.Errorf("storage %q of virtual storage %q: %w", t.Storage, t.VirtualStorage, err))
		}
		k := key{t.VirtualStorage, t.Storage}
		if _, twice := s.byKey[k]; twice {
			faults = append(faults, fmt.Errorf("storage %q of virtual storage %q is given twice", t.Storage, t.VirtualStorage))
		}
		l := &link{
			cfg:     cfg,
			log:     log.With("virtual_storage", t.VirtualStorage, "storage", t.Storage),
			metrics: metrics.of(t),
			changed: s.announce,
		}
		l.place.Store(newPlace(t, addr))
		l.current.Store(&published{err: unreachable(t, errNotTried)})
		s.byKey[k] = l
		s.links = append(s.links, l)
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return s, nil
}

// Run connects to the storages and keeps them connected until ctx ends. RPCs
// that are still under way then end with an error; all connections are closed
// when it returns. It is called once.
func (s *Set) Run(ctx context.Context) error {
	var links sync.WaitGroup
	for _, l := range s.links {
		links.Go(func() { l.run(ctx) })
	}
	links.Wait()
	return nil
}

// Conn returns the current connection to a storage. The error is an
// *UnreachableError, or ErrUnknown. It takes no lock and allocates nothing for
// a storage that is reachable.
func (s *Set) Conn(virtualStorage, storage string) (*Conn, error) {
	l, err := s.link(virtualStorage, storage)
	if err != nil {
		return nil, err
	}
	p := l.current.Load()
	if p.err != nil {
		return nil, p.err
	}
	return p.conn, nil
}

// Target returns address and token of a storage, for the gitaly-servers header
// by which another storage reaches it. The error is ErrUnknown.
func (s *Set) Target(virtualStorage, storage string) (Target, error) {
	l, err := s.link(virtualStorage, storage)
	if err != nil {
		return Target{}, err
	}
	return l.place.Load().target, nil
}

func (s *Set) link(virtualStorage, storage string) (*link, error) {
	l := s.byKey[key{virtualStorage, storage}]
	if l == nil {
		return nil, fmt.Errorf("%w %q of virtual storage %q", ErrUnknown, storage, virtualStorage)
	}
	return l, nil
}

// Renew gives up the connection of that generation, if it is still the current
// one, and has another one made. RPCs under way on it may end by themselves. It
// does not wait. An unknown storage has none.
func (s *Set) Renew(virtualStorage, storage string, generation uint64) {
	if l, err := s.link(virtualStorage, storage); err == nil {
		l.renew(generation)
	}
}

// Changed returns a channel that is closed when a connection comes or goes, the
// first attempt to make one fails, or Observation.Refused changes, after this call. To
// miss nothing, call it before Observations or Conn.
func (s *Set) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// Settled returns when the first attempt to reach each storage has ended, well
// or not, or with the error of ctx. Run must be running.
func (s *Set) Settled(ctx context.Context) error {
	for {
		changed := s.Changed()
		if !slices.ContainsFunc(s.links, (*link).untried) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *Set) announce() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.changed)
	s.changed = make(chan struct{})
}

// Observations returns the facts about the way to every storage, in the order of the targets.
func (s *Set) Observations() []reachability.Observation {
	all := make([]reachability.Observation, len(s.links))
	for i, l := range s.links {
		all[i] = l.observe()
	}
	return all
}

// Observation returns the facts about the way to one storage. If it has no target, Err is ErrUnknown.
func (s *Set) Observation(virtualStorage, storage string) reachability.Observation {
	l, err := s.link(virtualStorage, storage)
	if err != nil {
		return reachability.Observation{VirtualStorage: virtualStorage, Storage: storage, Err: err}
	}
	return l.observe()
}

// observe returns the facts of the moment. A storage is silent after Config.Silence without a word, after
// Config.Stall if its host answers.
func (l *link) observe() reachability.Observation {
	p, target := l.current.Load(), l.place.Load().target
	r := reachability.Observation{
		VirtualStorage: target.VirtualStorage, Storage: target.Storage, Address: target.Address,
		Reachable: p.conn != nil, Err: p.slow, Since: p.since, Latency: p.latency,
		FilesystemID: p.last.filesystemID, ServerVersion: p.last.serverVersion, GitVersion: p.last.gitVersion,
		Backchannel: p.spoken,
	}
	if p.conn == nil {
		r.Err, r.Refused = p.err.Cause, p.refused
		bound := l.cfg.Silence
		if p.host {
			bound = l.cfg.Stall
		}
		r.Silent = p.err.Cause != errNotTried && time.Since(p.heard) >= bound
		return r
	}
	r.Stalled = p.mute
	r.Generation, r.Outstanding, r.InUse = p.conn.generation, p.conn.Outstanding(), p.conn.inUse()
	return r
}
