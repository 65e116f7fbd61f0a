package frames

import (
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"praefect/test/must"
)

// sink is a connection that takes everything, and has nothing to read until it is closed.
type sink struct{ closed chan struct{} }

func newSink() *sink { return &sink{make(chan struct{})} }

func (s *sink) Read([]byte) (int, error) {
	<-s.closed
	return 0, io.EOF
}

func (s *sink) Write(b []byte) (int, error) { return len(b), nil }

func (s *sink) Close() error {
	close(s.closed)
	return nil
}

func (s *sink) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (s *sink) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (s *sink) SetDeadline(time.Time) error      { return nil }
func (s *sink) SetReadDeadline(time.Time) error  { return nil }
func (s *sink) SetWriteDeadline(time.Time) error { return nil }

// bench is a Front with one diverted call, and the reader of its Backend.
type bench struct {
	front  *Front
	reader *backendReader
	stream *stream
	buf    []byte // DATA frames
	copied []byte
}

func newBench(t testing.TB, frames, size int) *bench {
	far, near := newSink(), newSink()
	b := &Backend{
		conn: far, out: newSender(far, nil), done: make(chan struct{}), streams: map[uint32]*stream{}, nextID: 1,
		maxStreams: 1, window: maxWindow, initial: maxWindow,
	}
	b.cfg.setDefaults()
	f := NewFront(near, &testPolicy{}, Config{})
	c := &call{front: f, id: 1, state: held}
	f.mu.Lock()
	f.windows.initial, f.windows.conn = maxWindow/2, maxWindow/2
	f.calls[1] = c
	if why := c.open(&Diversion{Backend: b, Taken: func() {}, Ended: func(Result) {}}); why != "" {
		t.Fatalf("the call is not opened: %s", why)
	}
	f.unlock()
	c.headers([]hpack.HeaderField{{Name: ":status", Value: "200"}, {Name: "content-type", Value: "application/grpc"}}, false)
	x := &bench{front: f, reader: newBackendReader(b, nil), stream: c.stream}
	for range frames {
		x.buf = appendData(x.buf, 1, 0, make([]byte, size))
	}
	x.copied = make([]byte, len(x.buf))
	t.Cleanup(func() {
		_ = f.Close()
		b.Close(io.EOF)
	})
	return x
}

// answer has the frames arrive, and the client open its windows again.
func (x *bench) answer(t testing.TB, frames int) {
	copy(x.copied, x.buf)
	b := x.reader.b
	b.mu.Lock()
	x.stream.window = maxWindow
	b.mu.Unlock()
	if used, err := x.reader.parse(x.copied); err != nil || used != len(x.copied) {
		t.Fatalf("%d of %d bytes are used: %v", used, len(x.copied), err)
	}
	x.reader.flush()
	n := int64(len(x.buf) - frames*headLen)
	if err := x.front.windowUpdate(&x.front.in, head{length: 4, typ: http2.FrameWindowUpdate, id: 1}, n); err != nil {
		t.Fatal(err)
	}
	if err := x.front.windowUpdate(&x.front.in, head{length: 4, typ: http2.FrameWindowUpdate}, n); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all is written", func() bool { return x.front.out.length() == 0 && b.out.length() == 0 })
}

// TestCall_allocatesNothingPerFrame forwards many frames of an answer, of which none needs an allocation.
func TestCall_allocatesNothingPerFrame(t *testing.T) {
	limit := 0.1
	if must.Race {
		limit = 0.5
	}
	for _, size := range []int{10, maxFrame} {
		const few, many = 1, 65
		allocs := func(frames int) float64 {
			x := newBench(t, frames, size)
			return testing.AllocsPerRun(100, func() { x.answer(t, frames) })
		}
		// A batch may start the goroutine that writes, and chunks may have to be made again after a collection.
		if perFrame := (allocs(many) - allocs(few)) / (many - few); perFrame > limit {
			t.Errorf("%.3f allocations for each frame of %d bytes", perFrame, size)
		}
	}
}

// BenchmarkCall_data is the cost of the frames of an answer, without sockets.
func BenchmarkCall_data(b *testing.B) {
	const frames = 8
	x := newBench(b, frames, maxFrame-headLen)
	b.SetBytes(int64(len(x.buf)))
	b.ReportAllocs()
	for b.Loop() {
		x.answer(b, frames)
	}
}
