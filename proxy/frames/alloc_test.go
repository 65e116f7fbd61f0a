package frames

import (
	"encoding/binary"
	"io"
	"net"
	"strconv"
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

// answerHeaders are the headers before the messages of an answer.
var answerHeaders = []hpack.HeaderField{{Name: ":status", Value: "200"}, {Name: "content-type", Value: "application/grpc"}}

// answeredCall is a diverted call, alone on its connections, of whose answer the headers have come. initial is the window that its client has
// opened for it.
func answeredCall(t testing.TB, initial int64, ended func(Result)) *call {
	far, near := newSink(), newSink()
	b := &Backend{
		conn: far, out: newSender(far, nil), done: make(chan struct{}), streams: map[uint32]*stream{}, nextID: 1,
		maxStreams: 1, window: maxWindow, initial: maxWindow,
	}
	b.cfg.setDefaults()
	f := NewFront(near, &testPolicy{}, Config{})
	t.Cleanup(func() {
		_ = f.Close()
		b.Close(io.EOF)
	})
	c := &call{front: f, id: 1, state: held}
	f.mu.Lock()
	f.windows.initial, f.windows.conn = initial, maxWindow/2
	f.calls[1] = c
	why := c.open(&Diversion{Backend: b, Taken: func() {}, Ended: ended})
	f.unlock()
	if why != "" || !c.headers(answerHeaders, false) {
		t.Fatalf("the call is not opened, or its answer not taken: %q", why)
	}
	return c
}

// bench is a Front with one diverted call, and the reader of its Backend.
type bench struct {
	front  *Front
	reader *backendReader
	stream *stream
	buf    []byte // DATA frames with messages
	n      int    // bytes of DATA
	copied []byte
}

func newBench(t testing.TB, messages, size int) *bench {
	c := answeredCall(t, maxWindow/2, func(Result) {})
	x := &bench{front: c.front, reader: newBackendReader(c.stream.backend, nil), stream: c.stream}
	message := append(binary.BigEndian.AppendUint32([]byte{0}, uint32(size)), make([]byte, size)...)
	for range messages {
		x.buf = appendData(x.buf, 1, 0, message)
		x.n += len(message)
	}
	x.copied = make([]byte, len(x.buf))
	return x
}

// answer has the frames arrive, in pieces as a socket has them, and the client open its windows again.
func (x *bench) answer(t testing.TB) {
	copy(x.copied, x.buf)
	b := x.reader.b
	b.mu.Lock()
	x.stream.window = maxWindow
	b.mu.Unlock()
	const piece = 100_000
	for at := 0; at < len(x.copied); {
		used, err := x.reader.parse(x.copied[at:min(at+piece, len(x.copied))])
		if err != nil || used == 0 {
			t.Fatalf("%d bytes are used: %v", used, err)
		}
		x.reader.flush()
		at += used
	}
	n := int64(x.n)
	if err := x.front.windowUpdate(&x.front.in, head{length: 4, typ: http2.FrameWindowUpdate, id: 1}, n); err != nil {
		t.Fatal(err)
	}
	if err := x.front.windowUpdate(&x.front.in, head{length: 4, typ: http2.FrameWindowUpdate}, n); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all is written", func() bool { return x.front.out.length() == 0 && b.out.length() == 0 })
}

// TestCall_allocatesNothingPerMessage forwards many messages of an answer, of which none needs an allocation: neither one that arrives whole, nor
// one that is kept until it is.
func TestCall_allocatesNothingPerMessage(t *testing.T) {
	for _, size := range []int{10, maxFrame - prefixLen, 128 << 10} {
		limit := 0.1
		switch {
		case must.Race && size > maxFrame: // pools forget much
			limit = 4
		case must.Race:
			limit = 0.5
		}
		const few, many = 1, 65
		allocs := func(messages int) float64 {
			x := newBench(t, messages, size)
			return testing.AllocsPerRun(100, func() { x.answer(t) })
		}
		// A batch may start the goroutine that writes, and chunks may have to be made again after a collection.
		if each := (allocs(many) - allocs(few)) / (many - few); each > limit {
			t.Errorf("%.3f allocations for each message of %d bytes", each, size)
		}
	}
}

// BenchmarkCall_data is the cost of the frames of an answer, without sockets: messages of one frame, and those of a download.
func BenchmarkCall_data(b *testing.B) {
	for _, size := range []int{maxFrame - prefixLen, 128 << 10} {
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			x := newBench(b, (1<<20)/size, size)
			b.SetBytes(int64(len(x.buf)))
			b.ReportAllocs()
			for b.Loop() {
				x.answer(b)
			}
		})
	}
}
