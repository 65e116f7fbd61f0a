package frames

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
)

// rawClient is a client that says what a test has it say.
type rawClient struct {
	t      testing.TB
	conn   net.Conn
	framer *http2.Framer
	block  bytes.Buffer
	enc    *hpack.Encoder
	next   uint32
}

func newRawClient(t testing.TB, conn net.Conn, settings ...http2.Setting) *rawClient {
	t.Helper()
	c := &rawClient{t: t, conn: conn, framer: http2.NewFramer(conn, conn), next: 1}
	c.enc = hpack.NewEncoder(&c.block)
	c.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(2 * patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte(http2.ClientPreface)); err != nil {
		t.Fatal(err)
	}
	c.must(c.framer.WriteSettings(settings...))
	return c
}

func (x *fixture) rawClient(settings ...http2.Setting) *rawClient {
	x.t.Helper()
	conn, err := net.Dial("tcp", x.address)
	if err != nil {
		x.t.Fatal(err)
	}
	return newRawClient(x.t, conn, settings...)
}

func (c *rawClient) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// headers encodes the headers of a call.
func (c *rawClient) headers(method string, more ...string) []byte {
	c.block.Reset()
	fields := []string{
		":method", "POST", ":scheme", "http", ":path", method, ":authority", "here", "content-type", "application/grpc", "te", "trailers",
	}
	fields = append(fields, more...)
	for i := 0; i < len(fields); i += 2 {
		c.must(c.enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}))
	}
	return c.block.Bytes()
}

// begin sends the headers of a call.
func (c *rawClient) begin(method string, more ...string) uint32 {
	c.t.Helper()
	id := c.next
	c.next += 2
	c.must(c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: c.headers(method, more...), EndHeaders: true}))
	return id
}

func message(m []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(m))), m...)
}

// call sends a whole call.
func (c *rawClient) call(method string, request []byte, more ...string) uint32 {
	c.t.Helper()
	id := c.begin(method, more...)
	c.must(c.framer.WriteData(id, true, message(request)))
	return id
}

// rawAnswer is what came of a call.
type rawAnswer struct {
	header, trailer []hpack.HeaderField
	data            []byte
	code            http2.ErrCode
	reset           bool
}

func (a *rawAnswer) over() bool { return a.trailer != nil || a.reset }

func (a *rawAnswer) add(f http2.Frame) {
	switch f := f.(type) {
	case *http2.MetaHeadersFrame:
		if f.StreamEnded() {
			a.trailer = slices.Clone(f.Fields)
		} else {
			a.header = slices.Clone(f.Fields)
		}
	case *http2.DataFrame:
		a.data = append(a.data, f.Data()...)
	case *http2.RSTStreamFrame:
		a.reset, a.code = true, f.ErrCode
	}
}

// read reads until want holds for what came so far. Each frame is shown to see, if that is not nil.
func (c *rawClient) read(see func(http2.Frame), want func(map[uint32]*rawAnswer) bool) map[uint32]*rawAnswer {
	c.t.Helper()
	got := map[uint32]*rawAnswer{}
	for !want(got) {
		f, err := c.framer.ReadFrame()
		if err != nil {
			c.t.Fatalf("after %d answers: %v", len(got), err)
		}
		if s, ok := f.(*http2.SettingsFrame); ok && !s.IsAck() {
			c.must(c.framer.WriteSettingsAck())
		}
		if see != nil {
			see(f)
		}
		if id := f.Header().StreamID; id != 0 {
			if got[id] == nil {
				got[id] = &rawAnswer{}
			}
			got[id].add(f)
		}
	}
	return got
}

// all wants the ends of calls.
func all(ids ...uint32) func(map[uint32]*rawAnswer) bool {
	return func(got map[uint32]*rawAnswer) bool {
		for _, id := range ids {
			if got[id] == nil || !got[id].over() {
				return false
			}
		}
		return true
	}
}

func (o order) data() (all []byte) {
	for i := range o.messages {
		all = append(all, message(o.message(i))...)
	}
	return all
}

// TestFront_neverExceedsWindows downloads, diverted and passed, with a client that opens its windows by small random pieces.
func TestFront_neverExceedsWindows(t *testing.T) {
	each(t, func(t *testing.T, direct bool) {
		x := newFixture(t, func(s *setup) { s.direct = direct })
		for _, initial := range []uint32{0, 10, 5000, 65535, 1 << 20} {
			t.Run(fmt.Sprint(initial), func(t *testing.T) {
				c := x.rawClient(http2.Setting{ID: http2.SettingInitialWindowSize, Val: initial})
				random := rand.New(rand.NewPCG(1, uint64(initial)))
				o := order{4, 30_000, codes.OK}
				window := map[uint32]int64{}
				connection := int64(defaultWindow)
				var ids []uint32
				for i := range 6 {
					id := c.call([]string{"/read/Order", "/write/Order"}[i%2], o.bytes())
					ids = append(ids, id)
					window[id] = int64(initial)
				}
				open := func(id uint32, n int64) {
					c.must(c.framer.WriteWindowUpdate(id, uint32(n)))
					if id == 0 {
						connection += n
					} else {
						window[id] += n
					}
				}
				for _, id := range ids {
					open(id, 1)
				}
				see := func(f http2.Frame) {
					data, ok := f.(*http2.DataFrame)
					if !ok {
						return
					}
					id, n := data.StreamID, int64(data.Length)
					window[id] -= n
					connection -= n
					if window[id] < 0 || connection < 0 {
						t.Fatalf("stream %d has gone beyond its window: %d, the connection %d", id, window[id], connection)
					}
					for connection < 20_000 {
						open(0, 1+random.Int64N(10_000))
					}
					if window[id] < 3000 && !data.StreamEnded() {
						open(id, 1+random.Int64N(20_000))
					}
				}
				got := c.read(see, all(ids...))
				for _, id := range ids {
					if !bytes.Equal(got[id].data, o.data()) || Value(got[id].trailer, "grpc-status") != "0" {
						t.Errorf("stream %d: %d bytes, %v", id, len(got[id].data), got[id].trailer)
					}
				}
			})
		}
		if x.storage.count("Order") != 15 || x.proxy.count("Order") != 15 {
			t.Errorf("the storage had %d calls, gRPC's server %d", x.storage.count("Order"), x.proxy.count("Order"))
		}
	})
}

// TestFront_gRPCWaitsForTheWindow: gRPC's server believes in a window that diverted calls have used, and its frames wait.
func TestFront_gRPCWaitsForTheWindow(t *testing.T) {
	x := newFixture(t, nil)
	c := x.rawClient(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20})
	read := c.call("/read/Order", order{1, 40_000, codes.OK}.bytes())
	c.read(nil, all(read))
	write := c.call("/write/Order", order{1, 60_000, codes.OK}.bytes()) // its server thinks that this fits
	late := c.call("/read/Echo", []byte("x"))
	received := 0
	c.read(func(f http2.Frame) {
		if d, ok := f.(*http2.DataFrame); ok {
			received += int(d.Length)
		}
	}, func(got map[uint32]*rawAnswer) bool {
		return got[late] != nil && got[late].header != nil && received > 0
	})
	if received > defaultWindow-40_005 {
		t.Fatalf("got %d bytes more than the window has", received)
	}
	c.must(c.framer.WriteWindowUpdate(0, 100_000))
	got := c.read(func(f http2.Frame) {
		if d, ok := f.(*http2.DataFrame); ok {
			received += int(d.Length)
		}
	}, all(write, late))
	if want := 60_005 + 6; received != want || Value(got[write].trailer, "grpc-status") != "0" {
		t.Errorf("got %d bytes, want %d; %v", received, want, got[write].trailer)
	}
}

// TestFront_oddFrames has clients that send calls in legal frames that gRPC's clients do not send.
func TestFront_oddFrames(t *testing.T) {
	x := newFixture(t, nil)
	for name, send := range map[string]func(c *rawClient, id uint32, service string){
		"CONTINUATION": func(c *rawClient, id uint32, service string) {
			block := c.headers(service+"Echo", "long", string(bytes.Repeat([]byte("x"), 20_000)))
			c.must(c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block[:1]}))
			c.must(c.framer.WriteContinuation(id, false, block[1:100]))
			c.must(c.framer.WriteContinuation(id, false, block[100:10_000]))
			c.must(c.framer.WriteContinuation(id, true, block[10_000:]))
			c.must(c.framer.WriteData(id, true, message([]byte("hello"))))
		},
		"padding and priority": func(c *rawClient, id uint32, service string) {
			c.must(c.framer.WriteHeaders(http2.HeadersFrameParam{
				StreamID: id, BlockFragment: c.headers(service + "Echo"), EndHeaders: true, PadLength: 9,
				Priority: http2.PriorityParam{StreamDep: 0, Weight: 3},
			}))
			c.must(c.framer.WritePriority(id, http2.PriorityParam{Weight: 5}))
			c.must(c.framer.WriteDataPadded(id, true, message([]byte("hello")), make([]byte, 30)))
		},
		"small DATA": func(c *rawClient, id uint32, service string) {
			c.must(c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: c.headers(service + "Echo"), EndHeaders: true}))
			for _, b := range message([]byte("hello")) {
				c.must(c.framer.WriteData(id, false, []byte{b}))
			}
			c.must(c.framer.WriteData(id, false, nil))
			c.must(c.framer.WriteData(id, true, nil))
		},
		"unknown frames": func(c *rawClient, id uint32, service string) {
			c.must(c.framer.WriteRawFrame(0xbe, 0xff, 0, []byte("what?")))
			c.must(c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: c.headers(service + "Echo"), EndHeaders: true}))
			c.must(c.framer.WriteRawFrame(0xbe, 0, id, make([]byte, 5000)))
			c.must(c.framer.WriteData(id, true, message([]byte("hello"))))
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := x.rawClient()
			for i, service := range []string{"/read/", "/write/", "/read/"} {
				id := uint32(2*i + 1)
				send(c, id, service)
				got := c.read(nil, all(id))[id]
				if string(got.data) != string(message([]byte("hello"))) || Value(got.trailer, "grpc-status") != "0" {
					t.Errorf("call %d: got %q, %v", i, got.data, got.trailer)
				}
			}
		})
	}
}

// trickle writes byte by byte.
type trickle struct{ net.Conn }

func (c trickle) Write(b []byte) (int, error) {
	for i := range b {
		if _, err := c.Conn.Write(b[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(b), nil
}

func TestFront_byteByByte(t *testing.T) {
	x := newFixture(t, nil)
	conn, err := net.Dial("tcp", x.address)
	if err != nil {
		t.Fatal(err)
	}
	c := newRawClient(t, trickle{conn})
	for i := range 4 {
		id := c.call([]string{"/read/Echo", "/write/Echo"}[i%2], []byte("a message"))
		if got := c.read(nil, all(id))[id]; string(got.data) != string(message([]byte("a message"))) {
			t.Errorf("got %q", got.data)
		}
	}
	if x.storage.count("Echo") != 2 || x.proxy.count("Echo") != 2 {
		t.Errorf("the storage had %d calls, gRPC's server %d", x.storage.count("Echo"), x.proxy.count("Echo"))
	}
}

// TestFront_resets: calls that the client resets, at each stage, are over everywhere.
func TestFront_resets(t *testing.T) {
	x := newFixture(t, nil)
	c := x.rawClient()
	const n = 300
	for i := range n {
		id := c.begin("/read/Wait") // held
		if i%3 > 0 {
			c.must(c.framer.WriteData(id, true, message(nil))) // diverted
		}
		other := c.begin("/write/Wait") // passed
		if i%2 == 0 {
			c.must(c.framer.WriteData(other, true, message(nil)))
		}
		c.must(c.framer.WriteRSTStream(id, http2.ErrCodeCancel))
		c.must(c.framer.WriteRSTStream(other, http2.ErrCodeCancel))
	}
	last := c.call("/read/Echo", []byte("x"))
	c.read(nil, all(last))
	eventually(t, "all calls have ended", func() bool {
		ended, passed, dropped := x.policy.counts()
		return ended == n*2/3+1 && passed == 0 && dropped == n/3 && x.backend.Outstanding() == 0
	})
	f := x.front()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.calls)+len(f.passed)+len(f.holding) > 0 || f.diverted != 0 {
		t.Errorf("%d calls, %d passed and %d held are left", len(f.calls), len(f.passed), len(f.holding))
	}
}

// TestFront_manyResetsOfPassed: more calls of gRPC's server are reset than are remembered.
func TestFront_manyResetsOfPassed(t *testing.T) {
	x := newFixture(t, nil)
	c := x.rawClient()
	for range 3 * maxResets {
		c.must(c.framer.WriteRSTStream(c.begin("/write/Wait"), http2.ErrCodeCancel))
	}
	id := c.call("/write/Echo", []byte("x"))
	if got := c.read(nil, all(id))[id]; Value(got.trailer, "grpc-status") != "0" {
		t.Errorf("got %v", got.trailer)
	}
}

// goAway reads until GOAWAY.
func (c *rawClient) goAway() (code http2.ErrCode) {
	c.t.Helper()
	c.read(func(f http2.Frame) {
		if g, ok := f.(*http2.GoAwayFrame); ok {
			code = g.ErrCode
		}
	}, func(map[uint32]*rawAnswer) bool { return code != 0 })
	return code
}

// TestFront_pings: pings are excused by diverted answers, and too many of them are not.
func TestFront_pings(t *testing.T) {
	x := newFixture(t, nil)
	c := x.rawClient()
	for i := range 20 {
		id := c.call("/read/Echo", []byte("x"))
		c.read(nil, all(id))
		data := [8]byte{byte(i)}
		c.must(c.framer.WritePing(false, data))
		acked := false
		c.read(func(f http2.Frame) {
			p, ok := f.(*http2.PingFrame)
			acked = acked || ok && p.IsAck() && p.Data == data
		}, func(map[uint32]*rawAnswer) bool { return acked })
	}
	for range 20 {
		_ = c.framer.WritePing(false, [8]byte{1}) // fails once the server has closed
	}
	if code := c.goAway(); code != http2.ErrCodeEnhanceYourCalm {
		t.Errorf("got GOAWAY %v", code)
	}
}

// TestFront_refusesWhatGRPCRefuses sends nonsense, which must end the connection and nothing else.
func TestFront_refusesWhatGRPCRefuses(t *testing.T) {
	x := newFixture(t, nil)
	for name, send := range map[string]func(c *rawClient){
		"even id":          func(c *rawClient) { c.next = 2; c.begin("/read/Echo") },
		"id used before":   func(c *rawClient) { c.begin("/read/Echo"); c.next = 1; c.begin("/read/Echo") },
		"DATA on 0":        func(c *rawClient) { c.must(c.framer.WriteRawFrame(http2.FrameData, 0, 0, []byte("x"))) },
		"HEADERS on 0":     func(c *rawClient) { c.must(c.framer.WriteRawFrame(http2.FrameHeaders, 4, 0, []byte{0x82})) },
		"CONTINUATION":     func(c *rawClient) { c.must(c.framer.WriteRawFrame(http2.FrameContinuation, 4, 1, []byte{0x82})) },
		"HPACK":            func(c *rawClient) { c.must(c.framer.WriteRawFrame(http2.FrameHeaders, 4, 1, []byte{0xff, 0xff, 0xff})) },
		"padding":          func(c *rawClient) { c.must(c.framer.WriteRawFrame(http2.FrameHeaders, 12, 1, []byte{9, 0x82})) },
		"large frame":      func(c *rawClient) { c.must(c.framer.WriteRawFrame(http2.FrameData, 0, 1, make([]byte, 20_000))) },
		"short RST_STREAM": func(c *rawClient) { c.must(c.framer.WriteRawFrame(http2.FrameRSTStream, 0, 1, []byte("x"))) },
		"short PING":       func(c *rawClient) { c.must(c.framer.WriteRawFrame(http2.FramePing, 0, 0, []byte("x"))) },
		"no window":        func(c *rawClient) { c.must(c.framer.WriteRawFrame(http2.FrameWindowUpdate, 0, 0, make([]byte, 4))) },
		"too much window":  func(c *rawClient) { c.must(c.framer.WriteWindowUpdate(0, maxWindow)) },
		"odd SETTINGS":     func(c *rawClient) { c.must(c.framer.WriteRawFrame(http2.FrameSettings, 0, 0, []byte("x"))) },
		"endless headers": func(c *rawClient) {
			c.must(c.framer.WriteRawFrame(http2.FrameHeaders, 0, 1, []byte{0x82}))
			for range 100 {
				_ = c.framer.WriteRawFrame(http2.FrameContinuation, 0, 1, make([]byte, 10_000)) // fails once it is closed
			}
		},
		"interrupted headers": func(c *rawClient) {
			c.must(c.framer.WriteRawFrame(http2.FrameHeaders, 0, 1, []byte{0x82}))
			c.must(c.framer.WritePing(false, [8]byte{}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := x.rawClient()
			send(c)
			for {
				_, err := c.framer.ReadFrame()
				if errors.Is(err, os.ErrDeadlineExceeded) {
					t.Fatal("the connection goes on")
				}
				if err != nil {
					break
				}
			}
		})
	}
	if a := ask(t.Context(), x.client(), "/read/Echo", []byte("x")); a.err != nil {
		t.Error(a.err)
	}
}

// TestFront_tooLargeHeaders resets the call, and the connection goes on.
func TestFront_tooLargeHeaders(t *testing.T) {
	x := newFixture(t, func(s *setup) { s.server = append(s.server, grpc.MaxHeaderListSize(8<<10)) })
	c := x.rawClient()
	for i, service := range []string{"/read/", "/write/"} {
		id := c.begin(service+"Echo", "long", string(bytes.Repeat([]byte("x"), 5000)), "longer", string(bytes.Repeat([]byte("y"), 5000)))
		c.must(c.framer.WriteData(id, true, message(nil)))
		if got := c.read(nil, all(id))[id]; got.code != http2.ErrCodeFrameSize {
			t.Errorf("got %v", got)
		}
		id = c.call(service+"Echo", []byte{byte(i)})
		if got := c.read(nil, all(id))[id]; Value(got.trailer, "grpc-status") != "0" {
			t.Errorf("got %v", got.trailer)
		}
	}
}

// TestFront_windowOfRequestsComesBack sends more bytes of requests than the connection's window has.
func TestFront_windowOfRequestsComesBack(t *testing.T) {
	x := newFixture(t, nil)
	c := x.rawClient(http2.Setting{ID: http2.SettingInitialWindowSize, Val: maxWindow})
	c.must(c.framer.WriteWindowUpdate(0, maxWindow-2*defaultWindow))
	window := int64(defaultWindow)
	see := func(f http2.Frame) {
		if w, ok := f.(*http2.WindowUpdateFrame); ok && w.StreamID == 0 {
			window += int64(w.Increment)
		}
	}
	for i := range 200 {
		request := make([]byte, 10_000)
		id := c.call([]string{"/read/Echo", "/read/Echo", "/write/Echo"}[i%3], request)
		window -= int64(len(request) + prefixLen)
		c.read(see, all(id))
		if window < 20_000 {
			t.Fatalf("after %d calls %d bytes are left of the window", i+1, window)
		}
	}
	if window > 2*defaultWindow {
		t.Errorf("the window has grown to %d", window)
	}
}
