package frames

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"
)

// TestFront_storm has a storage answer many calls at once with random frames, while the client opens and shrinks its windows at random,
// resets some calls and begins others. Each answer must come as it should, and nothing may be left afterwards.
func TestFront_storm(t *testing.T) {
	each(t, func(t *testing.T, direct bool) {
		for seed := range uint64(3) {
			t.Run(fmt.Sprint(seed), func(t *testing.T) { storm(t, seed, direct) })
		}
	})
}

// storm makes all calls of one seed. Storages may send little ahead of the client for two of the seeds: then only small messages must
// come whole.
func storm(t *testing.T, seed uint64, direct bool) {
	ahead, whole := []int64{0, 40 * firstWindow, 4 << 20}[seed], []int{maxWhole, firstWindow / 2, firstWindow / 2}[seed]
	x := newFixture(t, func(s *setup) { s.cfg.Ahead, s.direct = ahead, direct })
	random := rand.New(rand.NewPCG(seed, 0))
	plans := make([]*stormPlan, 10)
	for i := range plans {
		plans[i] = newStormPlan(random, whole)
	}
	s := &stormStorage{plans: plans, random: rand.New(rand.NewPCG(seed, 1)), windows: map[uint32]int{0: defaultWindow}}
	b := hostile(t, BackendConfig{}, s.serve)
	x.policy.set(b, nil)
	initial := []uint32{0, 1, 7, defaultWindow, 100_000, 1 << 20}[random.IntN(6)]
	raw := x.rawClient(http2.Setting{ID: http2.SettingInitialWindowSize, Val: initial})
	c := &stormClient{rawClient: raw, random: random, plans: plans, window: defaultWindow, initial: int64(initial)}
	c.run()
	f := x.front()
	eventually(t, "all calls have ended, and nothing of them is left", func() bool {
		ended, passed, _ := x.policy.counts()
		f.mu.Lock()
		defer f.mu.Unlock()
		left := len(f.calls) + len(f.windows.waiting) + f.diverted + b.Outstanding() + int(f.ahead.Load())
		return left == 0 && ended+passed == len(plans)
	})
}

// stormPlan says what the storage answers to a call, and what the client should get of it.
type stormPlan struct {
	data        []byte     // the messages with their prefixes
	cut         int        // the storage sends so many bytes
	code        codes.Code // OK: it ends with trailers; Unavailable: with a reset; Internal: with END_STREAM and no trailers
	least, most int        // the client gets so many bytes
}

// newStormPlan draws a plan. The client gets nothing of a message that is cut off, unless it is larger than whole or trailers follow.
func newStormPlan(r *rand.Rand, whole int) *stormPlan {
	p := &stormPlan{code: []codes.Code{codes.OK, codes.OK, codes.OK, codes.Unavailable, codes.Internal}[r.IntN(5)]}
	salt, ends := r.IntN(256), []int{0}
	for n := r.IntN(12); n >= 0 && len(p.data) < 3<<20; n-- {
		size := stormSize(r)
		p.data = binary.BigEndian.AppendUint32(append(p.data, byte(r.IntN(2))), uint32(size))
		for range size {
			p.data = append(p.data, byte(salt+len(p.data)*7+len(p.data)>>8))
		}
		ends = append(ends, len(p.data))
	}
	if p.cut = len(p.data); p.code != codes.OK || r.IntN(8) == 0 {
		p.cut = r.IntN(len(p.data) + 1)
	}
	p.least, p.most = p.cut, p.cut
	if i := slices.IndexFunc(ends, func(end int) bool { return end > p.cut }); i > 0 && p.code != codes.OK {
		if p.least = ends[i-1]; ends[i]-p.least <= whole {
			p.most = p.least
		}
	}
	return p
}

// stormSize draws the size of a message. It is often near the size of a frame, a window or a buffer, and seldom very large.
func stormSize(r *rand.Rand) int {
	sizes := []int{
		0, 1, r.IntN(100), r.IntN(3000), maxFrame, 32 << 10, firstWindow, r.IntN(100_000), 128 << 10, 512 << 10, maxWhole, 2 * maxWhole,
	}
	size := sizes[min(r.IntN(len(sizes)), r.IntN(len(sizes)))]
	return max(0, size-[]int{0, prefixLen - 1, prefixLen}[r.IntN(3)])
}

// stormStorage is a storage that answers calls by their plans and keeps to its windows.
type stormStorage struct {
	plans  []*stormPlan // a request is an index in one byte
	random *rand.Rand   // only the goroutine that answers uses it

	mu      sync.Mutex
	windows map[uint32]int // 0 is the connection
	answers []*stormAnswer // those that have not ended
	headers []byte         // of answers that begin
}

// stormAnswer is an answer that the storage is sending.
type stormAnswer struct {
	*stormPlan
	id   uint32
	sent int
}

// serve answers until the connection ends.
func (s *stormStorage) serve(far net.Conn) {
	var reading sync.WaitGroup
	reading.Go(func() { s.read(far) })
	defer reading.Wait()
	retry := time.NewTicker(time.Millisecond)
	defer retry.Stop()
	for err := error(nil); err == nil; {
		frames := s.next()
		if len(frames) == 0 {
			<-retry.C                               // there may be a window or a call then
			frames = appendHead(nil, 0, 0xbe, 0, 0) // of no known type: it only shows whether the connection goes on
		}
		_, err = far.Write(frames)
	}
}

// read notes what the proxy sends, until the connection ends.
func (s *stormStorage) read(far net.Conn) {
	_, err := io.ReadFull(far, make([]byte, len(http2.ClientPreface)))
	for framer := http2.NewFramer(io.Discard, far); err == nil; {
		var f http2.Frame
		f, err = framer.ReadFrame()
		s.mu.Lock()
		switch f := f.(type) {
		case *http2.DataFrame:
			s.answers = append(s.answers, &stormAnswer{stormPlan: s.plans[f.Data()[prefixLen]], id: f.StreamID})
			s.windows[f.StreamID] = firstWindow
			s.headers = appendHeaders(s.headers, f.StreamID, 0, appendFields(nil, answerHeaders))
		case *http2.WindowUpdateFrame:
			s.windows[f.StreamID] += int(f.Increment)
		case *http2.RSTStreamFrame:
			s.answers = slices.DeleteFunc(s.answers, func(a *stormAnswer) bool { return a.id == f.StreamID })
		}
		s.mu.Unlock()
	}
}

// next returns the next frames of a few answers. It returns none if no call or no window is there.
func (s *stormStorage) next() (frames []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	frames, s.headers = s.headers, nil
	for n := s.random.IntN(8); n >= 0 && len(s.answers) > 0; n-- {
		i := s.random.IntN(len(s.answers))
		ended := false
		for more := s.random.IntN(6); more > 0 && !ended; more-- {
			frames, ended = s.piece(frames, s.answers[i])
		}
		if ended {
			s.answers = slices.Delete(s.answers, i, i+1)
		}
	}
	return frames
}

// piece adds a DATA frame, and may end the answer after the last byte. The frame may have padding, a flag without a meaning, or no bytes.
// mu is held.
func (s *stormStorage) piece(frames []byte, a *stormAnswer) (_ []byte, ended bool) {
	r := s.random
	pad := max(0, r.IntN(2000)-1800)
	n := min(a.cut-a.sent, []int{1, 2, 4, 5, 6, 100, r.IntN(3000), maxFrame - pad}[min(7, r.IntN(30))])
	if room := min(s.windows[a.id], s.windows[0]); n+pad > room {
		n, pad = min(n, room), 0
	}
	s.windows[a.id] -= n + pad
	s.windows[0] -= n + pad
	payload := a.data[a.sent : a.sent+n]
	a.sent += n
	ended = a.sent == a.cut && r.IntN(2) == 0
	flags := []http2.Flags{0, 0x40}[r.IntN(20)/19]
	if ended && a.code == codes.Internal {
		flags |= http2.FlagDataEndStream
	}
	if pad > 0 {
		flags |= http2.FlagDataPadded
		payload = slices.Concat([]byte{byte(pad - 1)}, payload, make([]byte, pad-1))
	}
	if len(payload) > 0 || flags.Has(http2.FlagDataEndStream) || r.IntN(20) == 0 {
		frames = append(appendHead(frames, len(payload), http2.FrameData, flags, a.id), payload...)
	}
	switch {
	case ended && a.code == codes.OK:
		frames = appendHeaders(frames, a.id, http2.FlagHeadersEndStream, appendFields(nil, statusFields(codes.OK, "")))
	case ended && a.code == codes.Unavailable:
		frames = appendReset(frames, a.id, http2.ErrCodeRefusedStream)
	}
	return frames, ended
}

// stormClient is a client that makes a call for each plan, and checks all bytes, windows and ends.
type stormClient struct {
	*rawClient
	random  *rand.Rand
	plans   []*stormPlan
	calls   []*stormCall // with the ids 1, 3 and so on
	window  int64        // of the connection
	initial int64        // window of a new call
}

// stormCall is a call as the client sees it.
type stormCall struct {
	*stormPlan
	id     uint32
	window int64
	shrunk int64 // by so much once the server has acknowledged the last SETTINGS; not positive
	answer rawAnswer
	left   bool // the client has reset it
}

// over tells whether the client waits for nothing more of the call.
func (k *stormCall) over() bool { return k.left || k.answer.over() }

// run makes all calls and checks the ends of those that the client has not reset.
func (c *stormClient) run() {
	c.read(c.see, func(map[uint32]*rawAnswer) bool {
		return len(c.calls) == len(c.plans) && !slices.ContainsFunc(c.calls, func(k *stormCall) bool { return !k.over() })
	})
	for _, k := range c.calls {
		n, status := len(k.answer.data), Value(k.answer.trailer, "grpc-status")
		if !k.left && (n < k.least || n > k.most || status != strconv.Itoa(int(k.code))) {
			c.t.Errorf("call %d: got %d bytes and the status %q, want %d to %d and %d", k.id, n, status, k.least, k.most, k.code)
		}
	}
}

// see takes a frame of the server, and then acts.
func (c *stormClient) see(f http2.Frame) {
	switch f := f.(type) {
	case *http2.DataFrame:
		c.check(f)
	case *http2.SettingsFrame:
		if f.IsAck() {
			c.resize()
		}
	}
	if id := f.Header().StreamID; id != 0 {
		c.calls[id/2].answer.add(f)
	}
	c.act()
}

// act begins a call, opens windows or resets a call, all at random.
func (c *stormClient) act() {
	r := c.random
	if i := len(c.calls); i < len(c.plans) && (i < len(c.plans)/2 || r.IntN(10) == 0) {
		c.calls = append(c.calls, &stormCall{stormPlan: c.plans[i], id: c.call("/read/Echo", []byte{byte(i)}), window: c.initial})
	}
	if n := defaultWindow - c.window; n > 0 && (c.window < 1000 || r.IntN(5) == 0) {
		c.must(c.framer.WriteWindowUpdate(0, uint32(n)))
		c.window += n
	}
	if k := c.calls[r.IntN(len(c.calls))]; !k.over() && k.window < 100_000 {
		n := 1 + r.Int64N([]int64{1, 100, 5000, 100_000}[r.IntN(4)])
		c.must(c.framer.WriteWindowUpdate(k.id, uint32(n)))
		k.window += n
	}
	if k := c.calls[r.IntN(len(c.calls))]; !k.over() && k.id%3 == 0 && r.IntN(20) == 0 { // the other calls are never reset
		c.must(c.framer.WriteRSTStream(k.id, http2.ErrCodeCancel))
		k.left = true
	}
}

// check checks that DATA goes on where the last one ended, and that the windows allow it.
func (c *stormClient) check(f *http2.DataFrame) {
	k, n := c.calls[f.StreamID/2], int(f.Length)
	at := len(k.answer.data)
	if n == 0 || k.answer.over() || at+n > k.cut || !bytes.Equal(f.Data(), k.data[at:at+n]) {
		c.t.Fatalf("call %d: the %d bytes at %d of %d are wrong", k.id, n, at, k.cut)
	}
	k.window -= int64(n)
	c.window -= int64(n)
	if k.window < 0 || c.window < 0 {
		c.t.Fatalf("call %d has gone beyond its window: %d, the connection %d", k.id, k.window, c.window)
	}
}

// resize sends SETTINGS when the last ones are acknowledged, so that there is always a frame to wait for. They may change the windows of
// all calls: larger ones count at once, smaller ones when they are acknowledged.
func (c *stormClient) resize() {
	initial := c.initial
	if c.random.IntN(20) == 0 {
		initial = []int64{0, 1, 500, defaultWindow, 200_000}[c.random.IntN(5)]
	}
	c.must(c.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: uint32(initial)}))
	for _, k := range c.calls {
		k.window += k.shrunk + max(0, initial-c.initial)
		k.shrunk = min(0, initial-c.initial)
	}
	c.initial = initial
}
