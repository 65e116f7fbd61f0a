package stream

import (
	"sync"

	"google.golang.org/grpc/mem"
)

// The bounds of a secondary that is behind the client. A frame that is larger than the second bound
// waits for an empty queue.
const (
	queueFrames = 16
	queueBytes  = 1 << 20
)

// queue holds the requests that a secondary has still to be sent, in order, with the frame that is
// being sent. One goroutine puts frames in and another takes them out; neither allocates.
type queue struct {
	filled  chan struct{} // holds 1, a wake-up: there may be something to take
	drained chan struct{} // holds 1, a wake-up: there may be room, or the end

	// guarded by mu
	mu      sync.Mutex
	ring    [queueFrames]mem.BufferSlice // the waiting ones, from head on
	head    int
	waiting int
	bytes   int  // of all that wait, and of the one that is being sent
	sending bool // one was taken that is not sent yet
	size    int  // its bytes
	closed  bool // no more will be put in
	over    bool // no more will be taken out: the branch has ended
}

func newQueue() *queue {
	return &queue{filled: make(chan struct{}, 1), drained: make(chan struct{}, 1)}
}

// put adds a frame, with references of its own, and reports whether it need not be put again: it must if there was no room.
// A branch that has ended wants no frames, and has room for all.
func (q *queue) put(f *Frame) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.over {
		return true
	}
	frames, size := q.waiting, f.data.Len()
	if q.sending {
		frames++
	}
	if frames == queueFrames || frames > 0 && q.bytes+size > queueBytes {
		return false
	}
	f.data.Ref()
	q.ring[(q.head+q.waiting)%queueFrames] = f.data
	q.waiting++
	q.bytes += size
	wake(q.filled)
	return true
}

// next takes the next frame into f, which held the one before. It waits for it, and returns false if none will come.
func (q *queue) next(f *Frame) bool {
	f.Free()
	for {
		ok, more := q.take(f)
		if ok || !more {
			return ok
		}
		<-q.filled // or end, or close
	}
}

// take is next without the wait: more reports that it may come to something.
func (q *queue) take(f *Frame) (ok, more bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.sending {
		q.sending = false
		q.bytes -= q.size
		wake(q.drained)
	}
	if q.waiting == 0 {
		return false, !q.closed && !q.over
	}
	f.data, q.ring[q.head] = q.ring[q.head], nil
	q.head = (q.head + 1) % queueFrames
	q.waiting--
	q.sending, q.size = true, f.data.Len()
	return true, true
}

// close says that nothing follows the last request in the queue.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	wake(q.filled)
}

// end frees the waiting requests and lets neither side wait any more. The frame that is being sent
// is the sender's to free.
func (q *queue) end() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.over = true
	for ; q.waiting > 0; q.waiting-- {
		q.ring[q.head].Free()
		q.ring[q.head] = nil
		q.head = (q.head + 1) % queueFrames
	}
	wake(q.filled)
	wake(q.drained)
}

func (q *queue) ended() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.over
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
