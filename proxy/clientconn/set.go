package clientconn

import (
	"container/list"
	"errors"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// DefaultLimit is how many connections may be open by default, if the process may open so many files.
const DefaultLimit = 10_000

// Config bounds the cost of connections.
type Config struct {
	// Limit is how many connections may be open at once; 0 means DefaultLimit. It is never more than three quarters of the
	// files that the process may open.
	Limit int
	// Trusting has every connection count as proved: no token is asked for.
	Trusting bool
	// Logger takes a line when a limit is reached.
	Logger *slog.Logger
}

// Set is the connections of all listeners. It is safe for concurrent use.
type Set struct {
	limit, unprovedLimit int
	trusting             bool
	log                  *slog.Logger

	mu       sync.Mutex
	open     map[*Conn]bool // guarded by mu
	unproved list.List      // of *Conn, the oldest first; guarded by mu
	dropped  int            // since the last line in the log; guarded by mu
	logged   time.Time      // when that was; guarded by mu
}

// NewSet makes a Set without connections.
func NewSet(cfg Config) *Set {
	if cfg.Limit <= 0 {
		cfg.Limit = DefaultLimit
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err == nil && files.Cur/4*3 < uint64(cfg.Limit) {
		cfg.Limit = max(1, int(files.Cur/4*3))
	}
	// A tenth is plenty for the connections that have yet to send their first call.
	return &Set{limit: cfg.Limit, unprovedLimit: max(1, cfg.Limit/10), trusting: cfg.Trusting, log: cfg.Logger, open: make(map[*Conn]bool)}
}

// Limit is how many connections may be open at once.
func (s *Set) Limit() int { return s.limit }

// Open is how many connections are open, and how many of these have not proved themselves.
func (s *Set) Open() (all, unproved int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open), s.unproved.Len()
}

// Listener returns lis with its connections in the set. accepted is called for each that is taken.
func (s *Set) Listener(lis net.Listener, accepted func()) net.Listener {
	return &listener{Listener: lis, set: s, accepted: accepted}
}

type listener struct {
	net.Listener
	set      *Set
	accepted func()
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		if err != nil {
			if errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) {
				l.set.starved(err)
			}
			return nil, err // gRPC waits a moment, and comes again
		}
		if c := l.set.add(raw); c != nil {
			l.accepted()
			return c, nil
		}
	}
}

// add takes a connection in, or closes it if there is no room and returns nil.
func (s *Set) add(raw net.Conn) *Conn {
	c := newConn(raw, s)
	s.mu.Lock()
	var oldest *Conn
	if len(s.open) >= s.limit || !s.trusting && s.unproved.Len() >= s.unprovedLimit {
		oldest = s.oldest()
	}
	full := len(s.open) >= s.limit && oldest == nil
	if !full {
		s.open[c] = true
		if !s.trusting {
			c.element = s.unproved.PushBack(c)
		}
	}
	note := oldest != nil || full
	s.mu.Unlock()
	if note {
		s.noteDrop("the limit of connections is reached", "limit", s.limit)
	}
	if oldest != nil {
		_ = oldest.Close() // its reader learns why
	}
	if full {
		_ = raw.Close() // the client tries again, or another instance
		return nil
	}
	return c
}

// oldest is the connection that has been unproved for the longest time, taken off the list; nil if there is none.
func (s *Set) oldest() *Conn {
	front := s.unproved.Front()
	if front == nil {
		return nil
	}
	c := front.Value.(*Conn)
	s.unproved.Remove(front)
	c.element = nil
	return c
}

// starved is told that there are no more file descriptors: one is made free.
func (s *Set) starved(err error) {
	s.noteDrop("no connection can be accepted: raise the limit of open files (LimitNOFILE)", "err", err)
	s.mu.Lock()
	oldest := s.oldest()
	s.mu.Unlock()
	if oldest != nil {
		_ = oldest.Close() // its reader learns why
	}
}

// logEvery is the least time between two lines about the same trouble.
const logEvery = 10 * time.Second

func (s *Set) noteDrop(message string, attrs ...any) {
	s.mu.Lock()
	s.dropped++
	dropped := s.dropped
	due := time.Since(s.logged) >= logEvery
	if due {
		s.dropped, s.logged = 0, time.Now()
	}
	open, unproved := len(s.open), s.unproved.Len()
	s.mu.Unlock()
	if due {
		s.log.Warn(message, append(attrs, "open", open, "unproved", unproved, "dropped", dropped)...)
	}
}

// proved takes a connection off the list of connections that may be dropped.
func (s *Set) proved(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.element != nil {
		s.unproved.Remove(c.element)
		c.element = nil
	}
}

// closed forgets a connection.
func (s *Set) closed(c *Conn) {
	s.proved(c)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
}

// Close closes all connections that are open.
func (s *Set) Close() {
	s.mu.Lock()
	all := slices.Collect(maps.Keys(s.open))
	s.mu.Unlock()
	for _, c := range all {
		_ = c.Close() // its reader learns of it
	}
}
