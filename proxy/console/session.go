package console

import (
	"crypto/rand"
	"crypto/sha256"
	"slices"
	"sync"
	"time"
)

// Bounds of sessions.
const (
	maxSessions = 64
	sessionIdle = time.Hour
	sessionLife = 12 * time.Hour
	// streamsOfOne is how many streams one session may have: one for each visible tab.
	streamsOfOne = 8
)

// session is one browser that has shown a token. All but used and streams is set once.
type session struct {
	id   [sha256.Size]byte // the hash of what the cookie holds
	csrf string
	name string // as its user wrote it
	// token is the hash of the secret that was shown: when that is replaced the session ends.
	token [sha256.Size]byte
	acts  bool
	begun time.Time

	used    time.Time // guarded by sessions.mu
	streams int       // guarded by sessions.mu
}

// sessions are kept in memory: they end with the process, and are worth nothing at another
// instance.
type sessions struct {
	mu  sync.Mutex
	all map[[sha256.Size]byte]*session // guarded by mu
}

func newSessions() *sessions { return &sessions{all: make(map[[sha256.Size]byte]*session)} }

// begin makes a session, and returns the content of its cookie. The oldest session of no higher right
// makes room, so that a reader never ends the session of an operator. ok is false if there is none.
func (s *sessions) begin(now time.Time, name string, acts bool, token string) (cookie string, begun *session, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire(now)
	if len(s.all) >= maxSessions {
		var replaceable []*session
		for _, other := range s.all {
			if acts || !other.acts {
				replaceable = append(replaceable, other)
			}
		}
		if len(replaceable) == 0 {
			return "", nil, false
		}
		oldest := slices.MinFunc(replaceable, func(a, b *session) int {
			switch {
			case a.acts == b.acts:
				return a.used.Compare(b.used)
			case a.acts:
				return 1
			}
			return -1
		})
		delete(s.all, oldest.id)
	}
	cookie = rand.Text()
	begun = &session{
		id: sha256.Sum256([]byte(cookie)), csrf: rand.Text(), name: name, acts: acts, token: sha256.Sum256([]byte(token)), begun: now, used: now,
	}
	s.all[begun.id] = begun
	return cookie, begun, true
}

// find returns the session of a cookie, nil if there is none whose token is still valid.
func (s *sessions) find(now time.Time, cookie string, valid Tokens) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.use(now, sha256.Sum256([]byte(cookie)), valid)
}

// use notes that a session is used; nil if it has ended. The caller holds mu.
func (s *sessions) use(now time.Time, id [sha256.Size]byte, valid Tokens) *session {
	s.expire(now)
	found := s.all[id]
	if found == nil {
		return nil
	}
	if !found.still(valid) {
		delete(s.all, id)
		return nil
	}
	found.used = now
	return found
}

// still tells whether the token of a session is a valid one.
func (s *session) still(valid Tokens) bool {
	if s.acts {
		return valid.Act != "" && sha256.Sum256([]byte(valid.Act)) == s.token
	}
	return slices.ContainsFunc(valid.Read, func(t string) bool { return t != "" && sha256.Sum256([]byte(t)) == s.token })
}

// goesOn tells a stream whether its session has not ended, and counts as its use.
func (s *sessions) goesOn(now time.Time, of *session, valid Tokens) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.use(now, of.id, valid) != nil
}

// expire removes sessions whose time is up. The caller holds mu.
func (s *sessions) expire(now time.Time) {
	for id, one := range s.all {
		if now.Sub(one.used) >= sessionIdle || now.Sub(one.begun) >= sessionLife {
			delete(s.all, id)
		}
	}
}

// end ends a session.
func (s *sessions) end(of *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, of.id)
}

// openStream counts a stream of a session; false: it has too many.
func (s *sessions) openStream(of *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if of.streams >= streamsOfOne {
		return false
	}
	of.streams++
	return true
}

func (s *sessions) closeStream(of *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	of.streams--
}
