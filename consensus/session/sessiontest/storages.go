// Package sessiontest has the storages of a session for tests.
package sessiontest

import (
	"slices"
	"sync"

	"praefect/fsm/reachability"
)

// Storages is the way of one instance to the storages of a virtual storage.
type Storages struct {
	mu      sync.Mutex
	all     []reachability.Observation
	changed chan struct{}
	renewed []string
}

// NewStorages returns connections to storages of these names, each with a disk of the same name.
func NewStorages(virtualStorage string, names ...string) *Storages {
	s := &Storages{changed: make(chan struct{})}
	for _, name := range names {
		s.all = append(s.all, reachability.Observation{
			VirtualStorage: virtualStorage, Storage: name, Generation: 1, Reachable: true, FilesystemID: name,
		})
	}
	return s
}

// Observations implements session.Storages.
func (s *Storages) Observations() []reachability.Observation {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.all)
}

// Changed implements session.Storages.
func (s *Storages) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// Renew implements session.Storages: it makes a new connection at once.
func (s *Storages) Renew(_, storage string, generation uint64) {
	go s.set(storage, func(e *reachability.Observation) {
		if e.Generation == generation {
			e.Generation++
			s.renewed = append(s.renewed, storage)
		}
	})
}

// Renewed names the storages whose connections were renewed, once for each time.
func (s *Storages) Renewed() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.renewed)
}

// Lose makes a storage refuse connections.
func (s *Storages) Lose(storage string) {
	s.set(storage, func(e *reachability.Observation) { e.Reachable, e.Refused, e.FilesystemID = false, true, "" })
}

// Find connects to a storage again, if it is lost.
func (s *Storages) Find(storage string) {
	s.set(storage, func(e *reachability.Observation) {
		if !e.Reachable {
			e.Reachable, e.Refused, e.FilesystemID, e.Generation = true, false, storage, e.Generation+1
		}
	})
}

// set changes the observation of a storage.
func (s *Storages) set(storage string, change func(*reachability.Observation)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.all {
		if s.all[i].Storage == storage {
			change(&s.all[i])
		}
	}
	close(s.changed)
	s.changed = make(chan struct{})
}
