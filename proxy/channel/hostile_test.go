package channel

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
)

// hostileServer is a server that speaks the protocol frame by frame to a client that has
// begun a session with it.
type hostileServer struct {
	net.Conn

	mu    sync.Mutex
	ended map[uint32]bool // streams that the client has closed or reset; guarded by mu
}

// besiege begins a session of a client with a hostile server. The session ends with the test.
func besiege(t *testing.T, c Client) *hostileServer {
	t.Helper()
	near, far := net.Pipe()
	h := &hostileServer{Conn: far, ended: make(map[uint32]bool)}
	heard := make(chan struct{})
	go func() { // until far is closed
		defer close(heard)
		h.hear()
	}()
	answered := make(chan error, 1)
	go func() {
		_, err := far.Write(header(1, 0, 1, 0)) // a first word
		answered <- err
	}()
	conn, _, err := NewClientCredentials(nil, c).ClientHandshake(bounded(t), "", near)
	if err := errors.Join(err, <-answered); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		_ = far.Close()
		<-heard
	})
	return h
}

// hear notes which streams the client ends.
func (h *hostileServer) hear() {
	if _, err := io.CopyN(io.Discard, h, int64(magicSize)); err != nil {
		return
	}
	for head := make([]byte, frameHeaderSize); ; {
		if _, err := io.ReadFull(h, head); err != nil {
			return
		}
		const fin, rst = 4, 8
		stream, length := binary.BigEndian.Uint32(head[4:]), binary.BigEndian.Uint32(head[8:])
		if binary.BigEndian.Uint16(head[2:])&(fin|rst) != 0 {
			h.mu.Lock()
			h.ended[stream] = true
			h.mu.Unlock()
		}
		if head[1] == frameData {
			if _, err := io.CopyN(io.Discard, h, int64(length)); err != nil {
				return
			}
		}
	}
}

// open opens the nth stream, and says something on it.
func (h *hostileServer) open(n int, words string) error {
	stream := uint32(2*n + 2)
	frames := header(1, 1, stream, 0)
	if words != "" {
		frames = append(append(frames, header(frameData, 0, stream, uint32(len(words)))...), words...)
	}
	_, err := h.Write(frames)
	return err
}

func answering() *grpc.Server { return newServer(func(context.Context) error { return nil }) }

// TestClient_streamsOfAHostileServer: a server that opens streams without end loses the
// session before they cost anything.
func TestClient_streamsOfAHostileServer(t *testing.T) {
	before := runtime.NumGoroutine()
	h := besiege(t, Client{Server: answering})
	ctx := bounded(t)
	most := 0
	for n := 0; h.open(n%(1<<30), "") == nil; n++ {
		most = max(most, runtime.NumGoroutine()-before)
		if ctx.Err() != nil {
			t.Fatalf("the session goes on after %d streams", n)
		}
	}
	if limit := maxSorting + 50; most > limit {
		t.Errorf("%d goroutines, the limit is %d", most, limit)
	}
}

// TestClient_callsOfAHostileServer: on more streams than it can need no calls are answered,
// and the session goes on.
func TestClient_callsOfAHostileServer(t *testing.T) {
	before := runtime.NumGoroutine()
	h := besiege(t, Client{Server: answering})
	const streams = 200
	for n := range streams {
		if err := h.open(n, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"); err != nil {
			t.Fatalf("stream %d: %v", n, err)
		}
	}
	ctx := bounded(t)
	refused := 0
	for refused < streams-maxCalling {
		h.mu.Lock()
		refused = len(h.ended)
		h.mu.Unlock()
		runtime.Gosched()
		if ctx.Err() != nil {
			t.Fatalf("%d of %d streams were refused", refused, streams)
		}
	}
	if refused > streams-maxCalling {
		t.Errorf("%d streams were refused, want %d", refused, streams-maxCalling)
	}
	if n := runtime.NumGoroutine() - before; n > 10*maxCalling {
		t.Errorf("%d goroutines for %d streams", n, maxCalling)
	}
}

// TestClient_endsWithoutSpinning: while a session with many streams ends, the goroutines that
// read them take no processor, so that others of the process get their turns.
func TestClient_endsWithoutSpinning(t *testing.T) {
	const sessions, most = 10, 80 * time.Millisecond
	var flood bytes.Buffer
	for n := range uint32(20_000) {
		flood.Write(header(1, 1, 2*n+2, 0))
	}
	processor := func() time.Duration {
		var usage unix.Rusage
		if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
			t.Fatal(err)
		}
		return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	}
	began := processor()
	for range sessions {
		near, far := tcpPair(t)
		written := make(chan struct{})
		go func() {
			defer close(written)
			_, _ = far.Write(flood.Bytes()) // the session ends before all is read
		}()
		conn, _, err := NewClientCredentials(nil, Client{Server: answering}).ClientHandshake(bounded(t), "", near)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, conn) // until the session ends
		_ = conn.Close()
		_ = far.Close()
		<-written
	}
	spent := processor() - began
	t.Logf("%v of the processor for %d sessions", spent, sessions)
	if spent > sessions*most {
		t.Errorf("%d sessions took %v of the processor, want %v at most", sessions, spent, sessions*most)
	}
}

// tcpPair is both ends of a connection.
func tcpPair(t *testing.T) (near, far net.Conn) {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer lis.Close()
	if near, err = net.Dial("tcp", lis.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if far, err = lis.Accept(); err != nil {
		t.Fatal(err)
	}
	return near, far
}
