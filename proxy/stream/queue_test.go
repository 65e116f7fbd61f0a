package stream

import (
	"strings"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/mem"
)

func bytesOf(n int) *Frame {
	return NewFrame(mem.BufferSlice{mem.SliceBuffer(strings.Repeat("x", n))})
}

// fill puts frames of a size until there is no room, and returns how many went in.
func fill(q *queue, size int) (n int) {
	for n < 100*queueFrames && q.put(bytesOf(size)) {
		n++
	}
	return n
}

func TestQueue_isBounded(t *testing.T) {
	for _, tc := range []struct {
		desc       string
		size, want int
	}{
		{"empty frames", 0, queueFrames},
		{"small frames", 1000, queueFrames},
		{"large frames", 400 << 10, 2},
		{"frames of just the bound", queueBytes, 1},
		{"larger than the bound", 4 * queueBytes, 1},
	} {
		t.Run(tc.desc, func(t *testing.T) {
			q := newQueue()
			frame := new(Frame)
			for round := range 3 { // around the ring
				if got := fill(q, tc.size); got != tc.want {
					t.Fatalf("round %d: %d frames went in, want %d", round, got, tc.want)
				}
				for range tc.want {
					if !q.next(frame) || frame.Data().Len() != tc.size {
						t.Fatalf("a frame of %d bytes came out, want %d", frame.Data().Len(), tc.size)
					}
				}
				if got := fill(q, tc.size); got != tc.want-1 {
					t.Fatalf("round %d: %d frames went in beside the one that is being sent", round, got)
				}
				for range tc.want - 1 {
					q.next(frame)
				}
				if ok, more := q.take(frame); ok || !more {
					t.Fatal("a frame too many")
				}
			}
		})
	}
}

func TestQueue_keepsOrderUntilItIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 10 * queueFrames
		q := newQueue()
		var got []int
		done := make(chan struct{})
		go func() {
			defer close(done)
			frame := new(Frame)
			for q.next(frame) {
				got = append(got, frame.Data().Len())
			}
		}()
		for i := range n {
			for !q.put(bytesOf(i)) {
				<-q.drained
			}
		}
		synctest.Wait() // the taker waits
		q.close()
		<-done
		if len(got) != n {
			t.Errorf("%d frames came out, want %d", len(got), n)
		}
		for i, size := range got {
			if size != i {
				t.Fatalf("frame %d has %d bytes", i, size)
			}
		}
	})
}

// When the branch has ended nobody waits, nothing is taken, and what was in the queue is freed; the frame that is being sent is
// freed by who sends it.
func TestQueue_end(t *testing.T) {
	pool := newStrictPool(t)
	q := newQueue()
	for range 3 {
		frame := NewFrame(pool.buffer("request"))
		if !q.put(frame) {
			t.Fatal("no room")
		}
		frame.Free()
	}
	sent := new(Frame)
	if !q.next(sent) {
		t.Fatal("nothing came out")
	}
	q.end()
	if got := pool.outstanding(); got != 1 {
		t.Errorf("%d buffers left, want the one that is being sent", got)
	}
	if got := string(sent.Data().Materialize()); got != "request" {
		t.Errorf("%q is being sent", got)
	}
	if q.next(sent) {
		t.Error("a frame came out")
	}
	late := NewFrame(pool.buffer("late"))
	for range 2 * queueFrames {
		if !q.put(late) {
			t.Fatal("a frame has to be put again")
		}
	}
	late.Free()
	if got := pool.outstanding(); got != 0 {
		t.Errorf("%d buffers left", got)
	}
}
