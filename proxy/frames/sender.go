package frames

import (
	"errors"
	"net"
	"sync"
	"syscall"
)

const (
	// chunkSize is how many bytes of a queue are written at a time.
	chunkSize = 64 << 10
	// maxQueued is how many bytes may be queued before write waits.
	maxQueued = 256 << 10
	// maxControl is how many bytes may wait that are no DATA of a call before nothing more is read from the client: it must take
	// the answers to its frames.
	maxControl = 1 << 20
	// maxStaged is how many bytes wait for the end of a batch at most.
	maxStaged = 32 << 10
)

// sender writes to a connection for several goroutines, most of which must not wait. Bytes that the socket does not take at once are queued,
// and written by a goroutine that exists only while there is a queue.
type sender struct {
	conn  net.Conn
	close func() error    // closes conn once
	raw   syscall.RawConn // nil if a write cannot be tried
	most  int             // bytes that may wait before throttle waits: maxControl
	// wrote is told, without a lock, that n bytes of a call's DATA were written after they had been queued.
	wrote func(c *call, n int)

	mu     sync.Mutex
	room   sync.Cond // the queue became shorter, or err is set
	staged []byte    // to be written at the end of the batch; guarded by mu
	queue  []*chunk  // guarded by mu
	queued int       // bytes in queue; guarded by mu
	data   int       // the bytes of queued that are marked; guarded by mu
	busy   bool      // a goroutine writes to conn, or is about to; guarded by mu
	last   bool      // the connection is closed when all is written; guarded by mu
	stays  bool      // the goroutine that writes stays for the next queue
	parked bool      // and waits for one; guarded by mu
	more   sync.Cond // parked has changed, or err is set
	err    error     // guarded by mu

	// For try, whose function must not be allocated each time; guarded by mu.
	try    func(fd uintptr) bool
	trying []byte
	tried  int
	tryErr error
}

// chunk is a part of a queue. The marks say which bytes are DATA of a call; each is in the chunk with the last of its bytes.
type chunk struct {
	bytes []byte
	marks []mark
}

type mark struct {
	call *call
	n    int
}

var chunks = sync.Pool{New: func() any { return &chunk{bytes: make([]byte, 0, chunkSize)} }}

func newSender(conn net.Conn, socket syscall.Conn) *sender {
	s := &sender{conn: conn, close: sync.OnceValue(conn.Close), wrote: func(*call, int) {}, most: maxControl}
	s.room.L, s.more.L = &s.mu, &s.mu
	if socket != nil {
		if raw, err := socket.SyscallConn(); err == nil { // otherwise the goroutine writes, and reports the error
			s.raw = raw
		}
	}
	s.try = func(fd uintptr) bool {
		for {
			s.tried, s.tryErr = syscall.Write(int(fd), s.trying)
			if !errors.Is(s.tryErr, syscall.EINTR) {
				return true // never wait until the socket takes more
			}
		}
	}
	return s
}

// send writes b, which may have n bytes of DATA of a call, and reports whether it is written. Otherwise it was copied.
func (s *sender) send(b []byte, c *call, n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flushLocked()
	return s.put(b, c, n)
}

// stage has b written at the end of the batch, or before the next bytes.
func (s *sender) stage(b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stageLocked(b)
}

func (s *sender) stageLocked(b []byte) {
	s.staged = append(s.staged, b...)
	if len(s.staged) >= maxStaged {
		s.flushLocked()
	}
}

// stageData does as stage with DATA of a call, unless so much waits that the client must take some of it before it counts as written.
func (s *sender) stageData(b []byte) (ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.queued >= maxStaged {
		return false
	}
	s.stageLocked(b)
	return true
}

// flush ends the batch.
func (s *sender) flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flushLocked()
}

func (s *sender) flushLocked() {
	if len(s.staged) == 0 {
		return
	}
	s.put(s.staged, nil, 0)
	if s.staged = s.staged[:0]; cap(s.staged) > 4<<10 {
		s.staged = nil // most connections are idle
	}
}

// put writes b if that needs no waiting, and queues the rest.
func (s *sender) put(b []byte, c *call, n int) bool {
	if s.err != nil {
		return false
	}
	if s.raw != nil && !s.busy {
		s.trying = b
		err := s.raw.Write(s.try)
		s.trying = nil
		switch {
		case err != nil:
			s.failLocked(err)
			return false
		case s.tryErr == nil:
			if b = b[s.tried:]; len(b) == 0 {
				return true
			}
		case !errors.Is(s.tryErr, syscall.EAGAIN):
			s.failLocked(s.tryErr)
			return false
		}
	}
	s.enqueue(b, c, n)
	if !s.busy {
		s.busy = true
		s.start()
	}
	return false
}

// start has a goroutine write the queue. mu is held.
func (s *sender) start() {
	if !s.parked {
		go s.drain()
		return
	}
	s.parked = false
	s.more.Signal()
}

func (s *sender) enqueue(b []byte, c *call, n int) {
	s.queued += len(b)
	for {
		var tail *chunk
		if len(s.queue) > 0 {
			tail = s.queue[len(s.queue)-1]
		}
		if tail == nil || len(tail.bytes) == cap(tail.bytes) {
			tail = chunks.Get().(*chunk)
			s.queue = append(s.queue, tail)
		}
		k := min(len(b), cap(tail.bytes)-len(tail.bytes))
		tail.bytes = append(tail.bytes, b[:k]...)
		if b = b[k:]; len(b) == 0 {
			if c != nil && n > 0 {
				tail.marks = append(tail.marks, mark{c, n})
				s.data += n
			}
			return
		}
	}
}

// drain writes the queue.
func (s *sender) drain() {
	for {
		s.mu.Lock()
		if s.err != nil || len(s.queue) == 0 {
			s.busy = false
			s.idleLocked()
			s.parked = s.stays
			for s.parked && s.err == nil {
				s.more.Wait()
			}
			ends := !s.stays || s.err != nil
			s.mu.Unlock()
			if ends {
				return
			}
			continue
		}
		next := s.queue[0]
		s.queue[0] = nil
		s.queue = s.queue[1:]
		s.mu.Unlock()

		_, err := s.conn.Write(next.bytes)

		s.mu.Lock()
		s.queued -= len(next.bytes)
		for _, m := range next.marks {
			s.data -= m.n
		}
		if err != nil {
			s.failLocked(err)
		}
		s.room.Broadcast()
		s.mu.Unlock()
		for i, m := range next.marks {
			if err == nil {
				s.wrote(m.call, m.n)
			}
			next.marks[i] = mark{}
		}
		next.bytes, next.marks = next.bytes[:0], next.marks[:0]
		chunks.Put(next)
	}
}

// write writes b, and waits while the queue is long. Only one goroutine calls it.
func (s *sender) write(b []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flushLocked()
	if s.busy {
		s.enqueue(b, nil, 0)
		for s.queued > maxQueued && s.err == nil {
			s.room.Wait()
		}
		return s.err
	}
	if s.err != nil {
		return s.err
	}
	s.busy = true
	s.mu.Unlock()
	_, err := s.conn.Write(b)
	s.mu.Lock()
	if err != nil {
		s.failLocked(err)
	}
	if len(s.queue) > 0 {
		s.start()
		return err
	}
	s.busy = false
	s.idleLocked()
	return err
}

// throttle waits while too much waits to be written that is no DATA of calls, as gRPC's server does.
func (s *sender) throttle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.queued-s.data > s.most && s.err == nil {
		s.room.Wait()
	}
}

// finish closes the connection when everything is written.
func (s *sender) finish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flushLocked()
	s.last = true
	s.idleLocked()
}

func (s *sender) idleLocked() {
	if s.last && !s.busy && s.err == nil {
		s.failLocked(net.ErrClosed)
	}
}

// fail gives everything up that is not written, and closes the connection.
func (s *sender) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failLocked(err)
}

func (s *sender) failLocked(err error) {
	if s.err != nil {
		return
	}
	s.err = err
	s.queue, s.staged = nil, nil
	s.room.Broadcast()
	s.more.Broadcast()
	go func() { _ = s.close() }() // the reader learns of it; TLS may wait before it has closed
}

// length is how many bytes wait to be written.
func (s *sender) length() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.queued + len(s.staged)
}

// reason is why nothing is written any more; nil while it is.
func (s *sender) reason() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}
