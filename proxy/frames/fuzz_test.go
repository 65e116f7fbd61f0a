package frames

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/codes"
)

// script is a connection from which the given bytes are read, in pieces of random sizes, and then nothing more.
type script struct {
	*sink
	left   []byte
	random *rand.Rand
}

func newScript(b []byte, seed uint64) *script {
	return &script{newSink(), b, rand.New(rand.NewPCG(seed, 0))}
}

func (s *script) Read(p []byte) (int, error) {
	if len(s.left) == 0 {
		return 0, io.EOF
	}
	n := min(len(p), len(s.left), 1+s.random.IntN(200))
	copy(p, s.left[:n])
	s.left = s.left[n:]
	return n, nil
}

// loneFront is a Front whose gRPC's server has said no more than its limits.
func loneFront(t *testing.T, conn net.Conn, p Policy, cfg Config) *Front {
	t.Helper()
	f := NewFront(conn, p, cfg)
	limit := appendSetting(nil, http2.SettingMaxHeaderListSize, 4<<10)
	if _, err := f.Write(append(appendHead(nil, len(limit), http2.FrameSettings, 0, 0), limit...)); err != nil {
		t.Fatal(err)
	}
	return f
}

// frontFrames returns frames of a client, to begin the search with.
func frontFrames(tb testing.TB) []byte {
	var b, block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	fr := http2.NewFramer(&b, nil)
	check := func(err error) {
		if err != nil {
			tb.Fatal(err)
		}
	}
	check(fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 100}))
	for id, path := range map[uint32]string{1: "/read/Echo", 3: "/write/Echo", 5: "/read/Echo", 7: "/write/Echo"} {
		block.Reset()
		for _, f := range []hpack.HeaderField{
			{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "http"}, {Name: ":path", Value: path},
			{Name: ":authority", Value: "a"}, {Name: "content-type", Value: "application/grpc"}, {Name: "te", Value: "trailers"},
		} {
			check(enc.WriteField(f))
		}
		check(fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block.Bytes(), EndHeaders: true}))
		check(fr.WriteData(id, id != 5, message([]byte("hello"))))
		check(fr.WriteWindowUpdate(0, 100))
		check(fr.WriteWindowUpdate(id, 100))
		check(fr.WriteRSTStream(id, http2.ErrCodeCancel))
	}
	check(fr.WritePing(false, [8]byte{}))
	return b.Bytes()
}

// FuzzFront has a client send any bytes. Nothing panics or hangs, calls end, and what gRPC's server reads are frames whose stream ids
// begin in order.
func FuzzFront(f *testing.F) {
	f.Add(frontFrames(f), uint64(1))
	f.Add(frontFrames(f), uint64(3))
	f.Add([]byte{0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0, 1}, uint64(2))
	f.Fuzz(anyClient)
}

// answerLate has calls answered here, each when the next one comes.
func answerLate() func(*Diversion) {
	last := Answer(func(codes.Code, string, []byte) {})
	return func(d *Diversion) {
		d.Backend = nil
		d.Serve = func(answer Answer) {
			last(codes.OK, "", []byte("an answer"))
			last = answer
		}
	}
}

func anyClient(t *testing.T, b []byte, seed uint64) {
	far := newSink()
	backend := &Backend{
		conn: far, out: newSender(far, nil), done: make(chan struct{}), streams: map[uint32]*stream{}, nextID: 1,
		maxStreams: 3, window: 1 << 20, initial: defaultWindow,
	}
	backend.cfg.setDefaults()
	policy := &testPolicy{backend: backend}
	if seed%3 == 0 {
		policy.change = answerLate()
	}
	front := loneFront(t, newScript(append([]byte(http2.ClientPreface), b...), seed), policy, Config{})
	var got []byte
	p := make([]byte, 1+seed%500)
	for {
		n, err := front.Read(p)
		got = append(got, p[:n]...)
		if err != nil {
			break
		}
		if len(got) > 1<<20 {
			t.Fatalf("%d bytes became more than %d", len(b), len(got))
		}
	}
	_ = front.Close()
	backend.Close(errors.New("over"))
	if n := front.Outstanding(); n > 0 || len(front.calls) > 0 {
		t.Errorf("%d calls are left", n+len(front.calls))
	}
	got = bytes.TrimPrefix(got, []byte(http2.ClientPreface))
	if len(got) >= headLen && parseHead(got).typ != http2.FrameSettings {
		return // all was passed as it came
	}
	last := uint32(0)
	for len(got) >= headLen {
		h := parseHead(got)
		if h.length > maxFrame { // it was passed as it came, and so is all that follows
			return
		}
		if h.typ == http2.FrameHeaders && h.id%2 == 1 && h.id > last {
			if h.id != last+2 && last != 0 || last == 0 && h.id != 1 {
				t.Errorf("call %d follows %d", h.id, last)
			}
			last = h.id
		}
		if h.id == 0 && (h.typ == http2.FrameData || h.typ == http2.FrameHeaders) || h.typ == http2.FrameContinuation {
			return
		}
		got = got[min(len(got), headLen+h.length):]
	}
}

// FuzzFront_passesAll sends DATA of calls that are passed: gRPC's server gets what went in, however it was cut into pieces.
func FuzzFront_passesAll(f *testing.F) {
	f.Add([]byte("hello, world"), uint64(1))
	f.Fuzz(passedClient)
}

func passedClient(t *testing.T, body []byte, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 1))
	in, want := appendHead([]byte(http2.ClientPreface), 0, http2.FrameSettings, 0, 0), map[uint32][]byte{}
	fields := []hpack.HeaderField{
		{Name: ":method", Value: "POST"}, {Name: ":path", Value: "/write/Echo"}, {Name: ":authority", Value: "a"},
		{Name: "content-type", Value: "application/grpc"}, {Name: "seed", Value: "x"},
	}
	reads := append([]hpack.HeaderField(nil), fields...)
	reads[1].Value = "/read/Echo"
	const calls = 4
	for i := range uint32(2 * calls) { // every second one is a read, and is held
		of := [][]hpack.HeaderField{fields, reads}[i%2]
		in = appendHeaders(in, 2*i+1, 0, appendFields(nil, of))
	}
	for len(body) > 0 {
		n := min(len(body), 1+random.IntN(300))
		i := uint32(random.IntN(calls))
		in = appendData(in, 4*i+1, 0, body[:n])
		want[2*i+1] = append(want[2*i+1], body[:n]...)
		body = body[n:]
		if random.IntN(3) == 0 {
			in = appendPing(in, 0, make([]byte, 8))
		}
	}
	front := loneFront(t, newScript(in, seed), &testPolicy{}, Config{Hold: time.Hour})
	var got []byte
	p := make([]byte, 1+random.IntN(4000))
	for {
		n, err := front.Read(p)
		got = append(got, p[:n]...)
		if err != nil {
			break
		}
	}
	_ = front.Close()
	data := map[uint32][]byte{}
	for got = got[len(http2.ClientPreface):]; len(got) > 0; {
		h := parseHead(got)
		if h.typ == http2.FrameData {
			data[h.id] = append(data[h.id], got[headLen:headLen+h.length]...)
		}
		got = got[headLen+h.length:]
	}
	for id, w := range want {
		if !bytes.Equal(data[id], w) {
			t.Errorf("call %d: got %d bytes, want %d", id, len(data[id]), len(w))
		}
	}
}

// storageFrames returns the frames of two answers.
func storageFrames() (b []byte) {
	for _, id := range []uint32{1, 3} {
		if id == 1 {
			b = appendHeaders(b, id, 0, appendFields(nil, []hpack.HeaderField{
				{Name: ":status", Value: "200"}, {Name: "content-type", Value: "application/grpc"},
			}))
		}
		b = appendData(b, id, 0, message([]byte("hello")))
		b = appendHeaders(b, id, http2.FlagHeadersEndStream, appendFields(nil, statusFields(0, "")))
	}
	return append(appendPing(b, 0, make([]byte, 8)), appendWindowUpdate(nil, 0, 5)...)
}

// FuzzBackend has a storage send any bytes to two calls, of which one has half an answer. Nothing panics or hangs, each call ends
// once, and its client is sent frames.
func FuzzBackend(f *testing.F) {
	f.Add(storageFrames(), uint64(1))
	f.Add(appendReset(nil, 1, http2.ErrCodeCancel), uint64(2))
	f.Add(appendData(nil, 1, http2.FlagDataEndStream, []byte("x")), uint64(3))
	f.Fuzz(anyStorage)
}

func anyStorage(t *testing.T, b []byte, seed uint64) {
	near := &recording{sink: newSink()}
	hello := append(appendHead(nil, 0, http2.FrameSettings, 0, 0), b...)
	backend, err := NewBackend(newScript(hello, seed), BackendConfig{MaxHeader: 4 << 10})
	if err != nil {
		return // it was lost at once
	}
	front := loneFront(t, near, &testPolicy{}, Config{})
	ends := 0
	front.mu.Lock()
	for _, id := range []uint32{1, 3} {
		c := &call{front: front, id: id, state: held, answered: id == 3}
		front.calls[id] = c
		if c.open(&Diversion{Backend: backend, Taken: func() {}, Ended: func(Result) { ends++ }}) != "" {
			c.state = ended
			delete(front.calls, id)
			ends++
		}
	}
	front.unlock()
	backend.reading.Wait()
	eventually(t, "all is written", func() bool { return front.out.length() == 0 })
	_ = front.Close()
	if ends != 2 {
		t.Errorf("%d calls have ended", ends)
	}
	for sent := near.bytes(); len(sent) > 0; {
		h := parseHead(sent)
		if h.length > maxFrame || len(sent) < headLen+h.length {
			t.Fatalf("the client got a frame %+v", h)
		}
		sent = sent[headLen+h.length:]
	}
}

// recording is a connection that keeps what is written to it.
type recording struct {
	*sink
	mu      sync.Mutex
	written []byte
}

func (r *recording) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.written = append(r.written, b...)
	return len(b), nil
}

func (r *recording) bytes() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return bytes.Clone(r.written)
}

// TestFuzz_mutations runs the fuzz targets on mutations of good frames: whole frames are dropped, repeated and exchanged, and bytes
// of their heads and payloads changed.
func TestFuzz_mutations(t *testing.T) {
	for seed := range uint64(500) {
		random := rand.New(rand.NewPCG(seed, 7))
		anyClient(t, mutate(frontFrames(t), random), seed)
		anyStorage(t, mutate(storageFrames(), random), seed)
		body := make([]byte, random.IntN(20_000))
		for i := range body {
			body[i] = byte(random.Uint32())
		}
		passedClient(t, body, seed)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func mutate(b []byte, random *rand.Rand) []byte {
	var frames [][]byte
	for len(b) > 0 {
		n := headLen + parseHead(b).length
		frames = append(frames, bytes.Clone(b[:n]))
		b = b[n:]
	}
	for range 1 + random.IntN(6) {
		i, j := random.IntN(len(frames)), random.IntN(len(frames))
		switch f := frames[i]; random.IntN(6) {
		case 0:
			frames[i] = nil
		case 1:
			frames[i], frames[j] = frames[j], frames[i]
		case 2:
			frames[i] = append(bytes.Clone(f), frames[j]...)
		case 3:
			frames[i] = f[:random.IntN(len(f)+1)]
		case 4:
			if len(f) >= headLen {
				f[2+random.IntN(headLen-2)] = byte(random.IntN(16))
			}
		case 5:
			if len(f) > 0 {
				f[random.IntN(len(f))] ^= 1 << random.IntN(8)
			}
		}
	}
	return bytes.Join(frames, nil)
}
