package frames

import (
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"net"
	"slices"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"

	"praefect/test/must"
)

// waitingCall is a call with a message that waits for the client's window, and the first 50 bytes of one of 100.
func waitingCall(t *testing.T) (c *call, ended *[]Result) {
	ended = new([]Result)
	c = answeredCall(t, 0, func(r Result) { *ended = append(*ended, r) })
	if !c.data(appendData(nil, 1, 0, message([]byte("hello")))) ||
		!c.data(appendData(nil, 1, 0, append(binary.BigEndian.AppendUint32([]byte{0}, 100), make([]byte, 50)...))) {
		t.Fatal("the answer is not taken")
	}
	return c, ended
}

// TestCall_storageLostWhileTheClientIsSlow: what the reader of a Backend delivers after the Backend was closed by someone else
// changes nothing, and the client gets the whole messages when it opens its window.
func TestCall_storageLostWhileTheClientIsSlow(t *testing.T) {
	c, ended := waitingCall(t)
	c.lost(errors.New("the storage fell silent"))
	c.data(appendData(nil, 1, 0, make([]byte, 50)))
	c.headers(statusFields(codes.OK, ""), true)
	c.reset(http2.ErrCodeNo)
	c.expired()
	if err := c.front.windowUpdate(&c.front.in, head{length: 4, typ: http2.FrameWindowUpdate, id: 1}, 1000); err != nil {
		t.Fatal(err)
	}
	if len(*ended) != 1 {
		t.Fatalf("the call has ended %d times", len(*ended))
	}
	if r := (*ended)[0]; r.Code != codes.Unavailable || r.FromStorage || r.Responses != 1 || r.ResponseBytes != 5 {
		t.Errorf("got %+v", r)
	}
}

// TestFront_longAnswer: an answer may have more bytes than the largest window.
func TestFront_longAnswer(t *testing.T) {
	x := newBench(t, 1, 1<<20)
	f := x.front
	const mebibytes = 2100
	for i := range mebibytes {
		f.mu.Lock()
		c := f.calls[1]
		if c != nil {
			f.spend(c, 1<<20) // as forward does
		}
		f.mu.Unlock()
		if c == nil {
			t.Fatalf("the call was ended after %d MiB", i)
		}
		for _, id := range []uint32{0, 1} { // the client has taken it
			must.Succeed(t, f.windowUpdate(&f.in, head{length: 4, typ: http2.FrameWindowUpdate, id: id}, 1<<20))
		}
	}
}

// TestFront_resetOfPassedMakesRoom: half of the client's window is for gRPC's server while it has calls, and no longer when the client has
// taken back the last one.
func TestFront_resetOfPassedMakesRoom(t *testing.T) {
	x := newFixture(t, nil)
	c := x.rawClient(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20})
	passed := c.call("/write/Wait", nil)
	<-x.proxy.entered
	id := c.call("/read/Order", order{1, 60_000, codes.OK}.bytes())
	got := 0
	c.read(func(f http2.Frame) {
		if d, ok := f.(*http2.DataFrame); ok {
			got += int(d.Length)
		}
	}, func(map[uint32]*rawAnswer) bool { return got >= defaultWindow/2 })
	c.must(c.framer.WriteRSTStream(passed, http2.ErrCodeCancel))
	c.must(c.conn.SetReadDeadline(time.Now().Add(10 * time.Second)))
	c.read(nil, all(id))
}

// smallMessages is a storage that answers two calls with small messages in turn, as far as its windows allow.
func smallMessages(t *testing.T) *Backend {
	return hostile(t, BackendConfig{}, func(far net.Conn) {
		if _, err := io.ReadFull(far, make([]byte, len(http2.ClientPreface))); err != nil {
			t.Error(err)
			return
		}
		const size = 500
		framer := http2.NewFramer(far, far)
		opened := make(chan func(window map[uint32]int), 1000)
		go func() {
			defer close(opened)
			for f, err := framer.ReadFrame(); err == nil; f, err = framer.ReadFrame() {
				id := f.Header().StreamID
				switch f := f.(type) {
				case *http2.DataFrame:
					opened <- func(window map[uint32]int) { window[id] = firstWindow }
				case *http2.WindowUpdateFrame:
					n := int(f.Increment)
					opened <- func(window map[uint32]int) {
						if _, ok := window[id]; ok {
							window[id] += n
						}
					}
				}
			}
		}()
		window, begun := make(map[uint32]int), make(map[uint32]bool)
		for open := range opened {
			if open(window); len(window) < 2 {
				continue
			}
			var out []byte
			for !slices.ContainsFunc(slices.Collect(maps.Values(window)), func(left int) bool { return left < size }) {
				for id := range window {
					if !begun[id] {
						begun[id] = true
						out = appendHeaders(out, id, 0, appendFields(nil, answerHeaders))
					}
					out = appendData(out, id, 0, message(make([]byte, size-prefixLen)))
					window[id] -= size
				}
			}
			if _, err := far.Write(out); err != nil {
				return
			}
		}
	})
}

// TestAttack_smallMessagesAreNotTaken: small pieces of an answer count as written no sooner than large ones, however far the client has
// opened its windows.
func TestAttack_smallMessagesAreNotTaken(t *testing.T) {
	each(t, func(t *testing.T, direct bool) {
		x := newFixture(t, func(s *setup) { s.direct, s.most, s.cfg.SendStall = direct, few, time.Second })
		b := smallMessages(t)
		x.policy.set(b, nil)
		c := x.rawClient(http2.Setting{ID: http2.SettingInitialWindowSize, Val: maxWindow})
		c.must(c.framer.WriteWindowUpdate(0, maxWindow-defaultWindow))
		c.must(c.conn.(*net.TCPConn).SetReadBuffer(few))
		c.call("/read/Order", nil)
		c.call("/read/Order", nil)
		eventually(t, "the calls are begun", func() bool { return b.Outstanding() == 2 })
		most := 0
		eventually(t, "the calls end as stalled", func() bool {
			most = max(most, x.front().out.length())
			ended, _, _ := x.policy.counts()
			return ended == 2 || most > 64<<20
		})
		if most > 3*laterWindow {
			t.Errorf("%d bytes wait", most)
		}
	})
}

// TestBacklog_holdsLittle: a backlog of a byte does not hold the buffer of a large message.
func TestBacklog_holdsLittle(t *testing.T) {
	total := 0
	for range 100 {
		var large, small backlog
		large.begin(true)
		large.add(7, []byte{1}, false)
		large.drop()
		small.begin(false)
		small.add(7, []byte{1}, true)
		total += cap(*small.buf)
	}
	if total > 100*2*smallBacklog {
		t.Errorf("100 calls with a byte each hold %d bytes", total)
	}
}
