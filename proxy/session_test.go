package proxy

import (
	"sync"

	"praefect/fsm/routing"
	"praefect/proxy/ledger/ledgertest"
)

// session is an instance that is alone, and loses its lease at the test's will.
type session struct {
	*ledgertest.Alone
	mu      sync.Mutex
	lost    bool                 // guarded by mu
	pauses  []routing.WritePause // guarded by mu
	changed chan struct{}        // guarded by mu
}

func newSession() *session {
	return &session{Alone: ledgertest.NewAlone(), changed: make(chan struct{})}
}

func (s *session) lose(lost bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lost = lost
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *session) Lease() routing.Lease {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lost {
		return routing.Lease{}
	}
	return s.Alone.Lease()
}

func (s *session) WritePauses() []routing.WritePause {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pauses
}

func (s *session) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}
