package frames

import (
	"errors"
	"net"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
)

// control is how many bytes wait for the client that are no DATA of calls.
func (s *sender) control() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.queued + len(s.staged) - s.data
}

// few is how many bytes may wait where a test fills all buffers.
const few = 64 << 10

// closed fails the test unless the server closes the connection.
func (c *rawClient) closed() {
	c.t.Helper()
	for {
		_, err := c.framer.ReadFrame()
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			c.t.Fatal("the connection goes on")
		case err == nil, errors.As(err, new(http2.StreamError)):
		default:
			return
		}
	}
}

// TestAttack_answersThatAreNotTaken: a client that has its frames answered and reads nothing is not read any more. gRPC's server does
// likewise, but never sees these frames.
func TestAttack_answersThatAreNotTaken(t *testing.T) {
	repeated := func(typ http2.FrameType, id uint32, payload []byte) func(c *rawClient) []byte {
		frame := append(appendHead(nil, len(payload), typ, 0, id), payload...)
		return func(*rawClient) []byte { return frame }
	}
	for name, row := range map[string]struct {
		frames  func(c *rawClient) []byte
		drained bool // gRPC's server has closed the connection, which one diverted call keeps open
	}{
		"headers that are too large": {frames: func(c *rawClient) []byte {
			name := appendInt(nil, 6, 0x40, 0) // a field for the table
			block := appendString(appendString(name, "long"), string(make([]byte, 4000)))
			for range 40 {
				block = append(block, 0x80|62) // the field again
			}
			c.must(c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: c.next, BlockFragment: block, EndHeaders: true}))
			c.next += 2
			return appendHeaders(nil, c.next-2, 0, block[len(block)-40:])
		}},
		"more calls than there may be": {frames: func(c *rawClient) []byte {
			return appendHeaders(nil, 0, 0, c.headers("/write/Echo"))
		}},
		"pings":    {drained: true, frames: repeated(http2.FramePing, 0, make([]byte, 8))},
		"settings": {drained: true, frames: repeated(http2.FrameSettings, 0, nil)},
	} {
		t.Run(name, func(t *testing.T) {
			x := newFixture(t, func(s *setup) {
				s.server = append(s.server, grpc.MaxConcurrentStreams(1))
				s.cfg.Drain, s.most = time.Hour, few
			})
			c := x.rawClient()
			c.must(c.conn.(*net.TCPConn).SetReadBuffer(few))
			c.call("/read/Wait", nil)
			<-x.storage.entered
			front := x.front()
			if row.drained {
				go x.server.GracefulStop()
				asked := false
				c.read(func(f http2.Frame) {
					if p, ok := f.(*http2.PingFrame); ok {
						c.must(c.framer.WritePing(true, p.Data)) // so that it does not wait
						asked = true
					}
				}, func(map[uint32]*rawAnswer) bool { return asked })
				eventually(t, "gRPC's server has closed", front.gracefully)
			}
			frame := row.frames(c)
			begins := parseHead(frame).typ == http2.FrameHeaders
			var batch []byte
			done := make(chan struct{})
			go func() {
				defer close(done)
				for {
					batch = batch[:0]
					for range 100 {
						if begins {
							c.next += 2
							putID(frame, c.next)
						}
						batch = append(batch, frame...)
					}
					if _, err := c.conn.Write(batch); err != nil {
						return
					}
				}
			}()
			eventually(t, "the client is not read any more", func() bool { return front.out.control() > few })
			for range 200 {
				if n := front.out.control(); n > 4*few {
					t.Fatalf("%d bytes wait", n)
				}
				runtime.Gosched()
			}
			_ = c.conn.Close()
			<-done
		})
	}
}

// TestAttack_blocksWithoutEnd ends connections with header blocks of which no byte is the last.
func TestAttack_blocksWithoutEnd(t *testing.T) {
	for _, size := range []int{0, 1, 10_000} {
		x := newFixture(t, nil)
		c := x.rawClient()
		c.must(c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x82}}))
		part := append(appendHead(nil, size, http2.FrameContinuation, 0, 1), make([]byte, size)...)
		for range 50_000 {
			if _, err := c.conn.Write(part); err != nil {
				break // it is closed
			}
		}
		c.closed()
	}
}

// TestAttack_beginsWithoutSettings: nothing is diverted from a connection that gRPC's server refuses.
func TestAttack_beginsWithoutSettings(t *testing.T) {
	x := newFixture(t, nil)
	conn, err := net.Dial("tcp", x.address)
	if err != nil {
		t.Fatal(err)
	}
	c := newRawClient(t, &discarding{Conn: conn, left: len(http2.ClientPreface) + headLen})
	hello := appendHeaders([]byte(http2.ClientPreface), 1, 0, c.headers("/read/Echo"))
	if _, err := conn.Write(appendData(hello, 1, http2.FlagDataEndStream, message(nil))); err != nil {
		t.Fatal(err)
	}
	c.closed()
	if n := x.storage.count("Echo"); n != 0 {
		t.Errorf("%d calls were diverted", n)
	}
}

// discarding drops the first bytes that are written.
type discarding struct {
	net.Conn
	left int
}

func (d *discarding) Write(b []byte) (int, error) {
	n := min(d.left, len(b))
	d.left -= n
	if n == len(b) {
		return n, nil
	}
	m, err := d.Conn.Write(b[n:])
	return n + m, err
}

// TestAttack_headerTable: a client that shrinks its table is not sent headers that do not say so, and one that enlarges ours is refused.
func TestAttack_headerTable(t *testing.T) {
	x := newFixture(t, nil)
	c := x.rawClient(http2.Setting{ID: http2.SettingHeaderTableSize, Val: 0}, http2.Setting{ID: http2.SettingHeaderTableSize, Val: 4096})
	id := c.call("/read/Echo", nil)
	if got := c.read(nil, all(id))[id]; Value(got.trailer, "ended-by") != "grpc" || x.policy.wasPassed(Bound) != 1 {
		t.Errorf("got %+v", got)
	}
	c = x.rawClient()
	c.must(c.framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID: 1, BlockFragment: append(appendInt(nil, 5, 0x20, 1<<20), c.headers("/read/Echo")...), EndHeaders: true,
	}))
	c.closed()
}

// TestAttack_longHeaders passes calls whose headers would be kept for long, though a client can have many at the price of a few bytes.
func TestAttack_longHeaders(t *testing.T) {
	x := newFixture(t, nil)
	c := x.rawClient()
	for i, n := range []int{5, 600} {
		more := make([]string, 0, 2*n)
		for range n {
			more = append(more, "a", "b")
		}
		id := c.begin("/read/Echo", more...)
		c.must(c.framer.WriteData(id, true, message(nil)))
		by := []string{"storage", "grpc"}[i]
		if got := c.read(nil, all(id))[id]; Value(got.trailer, "ended-by") != by {
			t.Errorf("%d fields: got %+v", n, got)
		}
	}
	if n := x.policy.wasPassed(Headers); n != 1 {
		t.Errorf("%d calls were passed", n)
	}
}

// TestAttack_madeToReset: a client that has a call reset by a fault of its own counts as one that has reset it.
func TestAttack_madeToReset(t *testing.T) {
	x := newFixture(t, nil)
	c := x.rawClient()
	for _, n := range []uint32{0, maxWindow} {
		id := c.call("/read/Wait", nil)
		<-x.storage.entered
		c.must(c.framer.WriteRawFrame(http2.FrameWindowUpdate, 0, id, appendWindowUpdate(nil, 0, int64(n))[headLen:]))
		if got := c.read(nil, all(id))[id]; got.code != http2.ErrCodeFlowControl {
			t.Errorf("got %+v", got)
		}
		eventually(t, "the call has ended", func() bool { return x.policy.last().ClientGone })
	}
	eventually(t, "the storage has no calls", func() bool { return x.backend.Outstanding() == 0 })
}

// TestAttack_manySettings: of a setting that a frame repeats the last one counts.
func TestAttack_manySettings(t *testing.T) {
	x := newFixture(t, nil)
	var settings []http2.Setting
	for i := range uint32(2000) {
		settings = append(settings, http2.Setting{ID: http2.SettingInitialWindowSize, Val: i * 1000})
	}
	settings = append(settings, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 7})
	c := x.rawClient()
	first := c.call("/read/Order", order{1, 100, codes.OK}.bytes())
	c.read(nil, all(first))
	c.must(c.framer.WriteSettings(settings...))
	id := c.call("/read/Order", order{1, 100, codes.OK}.bytes())
	got := c.read(nil, func(got map[uint32]*rawAnswer) bool { return got[id] != nil && len(got[id].data) > 0 })[id]
	if len(got.data) != 7 {
		t.Errorf("got %d bytes", len(got.data))
	}
	c.must(c.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 200}))
	if rest := c.read(nil, all(id))[id]; len(rest.data) != 98 {
		t.Errorf("got %d bytes more", len(rest.data))
	}
}

// TestAttack_resetsOfWaiting: a call that is reset while it waits for the connection's window leaves nothing behind.
func TestAttack_resetsOfWaiting(t *testing.T) {
	x := newFixture(t, nil)
	c := x.rawClient()
	id := c.call("/read/Order", order{1, defaultWindow - prefixLen, codes.OK}.bytes()) // all of the window
	c.read(nil, all(id))
	front := x.front()
	waiting := func() int {
		front.mu.Lock()
		defer front.mu.Unlock()
		return len(front.windows.waiting)
	}
	for range 20 {
		id := c.call("/read/Order", order{1, 100, codes.OK}.bytes())
		eventually(t, "the call waits", func() bool { return waiting() == 1 })
		c.must(c.framer.WriteRSTStream(id, http2.ErrCodeCancel))
		eventually(t, "no call waits", func() bool { return waiting() == 0 })
	}
	if n := front.ahead.Load(); n != 0 {
		t.Errorf("storages may send %d bytes to no call", n)
	}
}

// kept is how many bytes of answers wait for the client.
func (f *Front) kept() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.calls {
		n += c.backlog.size()
	}
	return n + f.out.length()
}

// TestAttack_takesNothing bounds the answers of many calls of which a client takes nothing, or nothing more after a while.
func TestAttack_takesNothing(t *testing.T) {
	const ahead = 8 << 20
	for _, calls := range []int{200, 20} {
		each(t, func(t *testing.T, direct bool) {
			x := newFixture(t, func(s *setup) { s.direct, s.cfg.Ahead = direct, ahead })
			c := x.rawClient(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
			c.must(c.framer.WriteWindowUpdate(0, maxWindow-defaultWindow))
			var ids []uint32
			for range calls {
				ids = append(ids, c.call("/read/Order", order{100, 30_000, codes.OK}.bytes()))
			}
			eventually(t, "the calls are begun", func() bool { return x.storage.count("Order")+x.proxy.count("Order") == calls })
			front, diverted := x.front(), min(calls, ahead/firstWindow)
			if n := x.policy.wasPassed(Bound); n != calls-diverted {
				t.Errorf("%d of %d calls were passed", n, calls)
			}
			eventually(t, "storages have sent all they may", func() bool { return front.kept() >= diverted*firstWindow*9/10 })
			if n := front.kept(); n > ahead+ahead/8 { // heads of frames
				t.Errorf("%d bytes are kept", n)
			}
			taken, some := map[uint32]int{}, ids[:diverted/2]
			for _, id := range some { // enough for larger windows
				c.must(c.framer.WriteWindowUpdate(id, 2*laterAfter))
			}
			c.read(func(f http2.Frame) {
				if d, ok := f.(*http2.DataFrame); ok {
					taken[d.StreamID] += int(d.Length)
				}
			}, func(map[uint32]*rawAnswer) bool {
				return !slices.ContainsFunc(some, func(id uint32) bool { return taken[id] < 2*laterAfter })
			})
			if n := front.kept(); n > ahead+ahead/8 {
				t.Errorf("later: %d bytes are kept", n)
			}
			switch n := front.ahead.Load(); {
			case calls == 200 && n != ahead:
				t.Errorf("storages may send %d bytes: windows were enlarged beyond the bound", n)
			case calls == 20 && (n <= 20*firstWindow || n > ahead/2):
				t.Errorf("storages may send %d bytes: no window was enlarged, or too many", n)
			}
			_ = c.conn.Close()
			eventually(t, "all calls have ended", func() bool { return front.ahead.Load() == 0 && x.backend.Outstanding() == 0 })
		})
	}
}

// hostile begins a connection to a storage that sends its SETTINGS, and then does as it likes.
func hostile(t *testing.T, cfg BackendConfig, then func(far net.Conn)) *Backend {
	t.Helper()
	near, far := net.Pipe()
	var running sync.WaitGroup
	running.Go(func() {
		hello := appendSetting(nil, http2.SettingInitialWindowSize, maxWindow)
		hello = append(appendHead(nil, len(hello), http2.FrameSettings, 0, 0), hello...)
		if _, err := far.Write(appendWindowUpdate(hello, 0, maxWindow-defaultWindow)); err == nil {
			then(far)
		}
	})
	b, err := NewBackend(near, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.Close(errors.New("the test is over"))
		running.Wait()
	})
	return b
}

// TestBackend_blocksWithoutEnd loses a storage that sends header blocks of which no byte is the last.
func TestBackend_blocksWithoutEnd(t *testing.T) {
	b := hostile(t, BackendConfig{MaxHeader: 4 << 10}, func(far net.Conn) {
		frame := append(appendHead(nil, 1, http2.FrameHeaders, 0, 1), 0x88)
		for err := error(nil); err == nil; _, err = far.Write(frame) {
			frame = appendHead(frame[:0], 0, http2.FrameContinuation, 0, 1)
		}
	})
	<-b.Done()
}

// TestBackend_takesNothing bounds the requests that wait for a storage.
func TestBackend_takesNothing(t *testing.T) {
	b := hostile(t, BackendConfig{}, func(net.Conn) {})
	fields := []hpack.HeaderField{{Name: ":path", Value: "/read/Echo"}}
	err := error(nil)
	for n := 0; err == nil && n < 1000; n++ {
		u := &unary{done: make(chan struct{}), opened: make(chan struct{})}
		_, err = b.open(u, fields, [][]byte{make([]byte, 60_000)}, time.Time{})
		b.out.flush()
	}
	if !errors.Is(err, ErrFull) {
		t.Errorf("got %v", err)
	}
	if n := b.out.length(); n > maxBackendQueue/4 {
		t.Errorf("%d bytes wait", n)
	}
}
