package peer

import (
	"sync"
	"time"
)

const (
	// seldomEvery is how often a line that repeats itself is logged.
	seldomEvery = time.Minute
	// seldomKeys bounds the memory of a Seldom. Beyond it everything is forgotten, and
	// each line is logged once more.
	seldomKeys = 1000
)

// Seldom admits a line of the log that repeats itself once a minute. An instance that
// waits to join, or whose peer is down, meets the same failure many times a second.
// Its zero value is ready, and any number of goroutines may use it.
type Seldom struct {
	mu    sync.Mutex
	lines map[string]*repeated // guarded by mu
}

// repeated is a line that was logged, and how often it was dropped since.
type repeated struct {
	at      time.Time
	dropped int
}

// Admit tells whether the line with that key is to be logged now, and how many like it
// were dropped since the last one.
func (s *Seldom) Admit(key string, now time.Time) (dropped int, admitted bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	line := s.lines[key]
	if line != nil && now.Sub(line.at) < seldomEvery {
		line.dropped++
		return 0, false
	}
	if line != nil {
		dropped = line.dropped
	}
	if s.lines == nil || len(s.lines) >= seldomKeys {
		s.lines = make(map[string]*repeated)
	}
	s.lines[key] = &repeated{at: now}
	return dropped, true
}
