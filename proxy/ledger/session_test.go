package ledger

import (
	"sync"
	"time"

	"praefect/fsm/routing"
	"praefect/fsm/state"
)

// session is what a leader says, at the test's will. Its clock is the bubble's.
type session struct {
	start time.Time

	mu           sync.Mutex
	lease        routing.Lease
	watermark    state.Index
	pauses       []routing.WritePause
	changed      chan struct{}
	applied      state.Index
	pauseReports []routing.WritePauseReport
}

// newSession has a lease without an end, and every instance has applied everything.
func newSession() *session {
	return &session{start: time.Now(), lease: routing.Lease{Until: 1 << 62}, watermark: 1 << 62, changed: make(chan struct{})}
}

// say changes what the leader says.
func (s *session) say(change func(*session)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *session) Now() time.Duration { return time.Since(s.start) }

func (s *session) Lease() routing.Lease {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lease
}

func (s *session) Watermark() state.Index {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.watermark
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

func (s *session) Report(applied state.Index, pauseReports []routing.WritePauseReport) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.applied, s.pauseReports = applied, pauseReports
}

func (s *session) reported() (state.Index, []routing.WritePauseReport) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.applied, s.pauseReports
}
