package frames

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/test/must"
)

// breaksOff is a storage that answers its first call with a message, then with the first part bytes of one of size bytes, as far as its
// windows allow, and ends.
func breaksOff(t *testing.T, size, part int, end func(far net.Conn, id uint32)) *Backend {
	return hostile(t, BackendConfig{}, func(far net.Conn) {
		if _, err := io.ReadFull(far, make([]byte, len(http2.ClientPreface))); err != nil {
			t.Error(err)
			return
		}
		framer := http2.NewFramer(far, far)
		id, window := uint32(0), firstWindow
		next := func() {
			switch f, err := framer.ReadFrame(); f := f.(type) {
			case *http2.DataFrame:
				id = f.StreamID
			case *http2.WindowUpdateFrame:
				if f.StreamID != 0 {
					window += int(f.Increment)
				}
			case nil:
				t.Error(err)
				runtime.Goexit()
			}
		}
		for id == 0 {
			next()
		}
		must.Succeed(t, framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, EndHeaders: true, BlockFragment: appendFields(nil, answerHeaders)}))
		data := message([]byte("hello"))
		data = append(binary.BigEndian.AppendUint32(append(data, 0), uint32(size)), make([]byte, part)...)
		for len(data) > 0 {
			n := min(len(data), window, maxFrame)
			if n == 0 {
				next()
				continue
			}
			must.Succeed(t, framer.WriteData(id, false, data[:n]))
			window -= n
			data = data[n:]
		}
		end(far, id)
	})
}

// TestFront_storageLostInAMessage: the client gets the messages before it and nothing of it, unless it is very large.
func TestFront_storageLostInAMessage(t *testing.T) {
	lost := func(far net.Conn, _ uint32) { _ = far.Close() }
	reset := func(far net.Conn, id uint32) { _, _ = far.Write(appendReset(nil, id, http2.ErrCodeRefusedStream)) }
	for _, row := range []struct {
		name       string
		size, part int
		end        func(net.Conn, uint32)
		want       codes.Code
	}{
		{"nothing of it", 10, 0, lost, codes.Unavailable},
		{"small", 10, 9, lost, codes.Unavailable},
		{"of many frames", 100_000, 99_999, lost, codes.Unavailable},
		{"larger than the first window", 300_000, 250_000, lost, codes.Unavailable},
		{"reset", 300_000, 250_000, reset, codes.Unavailable},
		{"the largest that is kept", maxWhole - prefixLen, maxWhole - prefixLen - 1, lost, codes.Unavailable},
		{"too large", maxWhole, maxWhole - 1, lost, codes.Internal},
	} {
		t.Run(row.name, func(t *testing.T) {
			x := newFixture(t, nil)
			b := breaksOff(t, row.size, row.part, row.end)
			x.policy.set(b, nil)
			cs, err := x.client(grpc.WithInitialWindowSize(8<<20)).NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true}, "/read/Half")
			must.Succeed(t, err)
			m := []byte("hello")
			must.Succeed(t, errors.Join(cs.SendMsg(&m), cs.CloseSend(), cs.RecvMsg(&m)))
			if err := cs.RecvMsg(&m); status.Code(err) != row.want {
				t.Errorf("got %v, want %v", err, row.want)
			}
			eventually(t, "the call has ended", func() bool { ended, _, _ := x.policy.counts(); return ended == 1 })
			if r := x.policy.last(); r.Code != codes.Unavailable || r.Responses != 1 {
				t.Errorf("got %+v", r)
			}
		})
	}
}

// TestFront_partOfAMessageThenTrailers passes on what a storage has sent, as gRPC does.
func TestFront_partOfAMessageThenTrailers(t *testing.T) {
	x := newFixture(t, nil)
	x.policy.set(breaksOff(t, 100, 50, func(far net.Conn, id uint32) {
		_, _ = far.Write(appendHeaders(nil, id, http2.FlagHeadersEndStream, appendFields(nil, statusFields(codes.OK, ""))))
	}), nil)
	c := x.rawClient()
	id := c.call("/read/Half", nil)
	a := c.read(nil, all(id))[id]
	if want := prefixLen + len("hello") + prefixLen + 50; len(a.data) != want || Value(a.trailer, "grpc-status") != "0" {
		t.Errorf("got %d bytes, want %d, and %v", len(a.data), want, a.trailer)
	}
}

// TestBacklog_frames: what comes out is what went in, in frames that are no larger than asked for, and nothing of a message that is not
// whole.
func TestBacklog_frames(t *testing.T) {
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 0))
		var b backlog
		var in, out []byte
		whole, added := 0, 0
		size := 1 + random.IntN(maxFrame)
		take := func(n int) {
			if !b.waits() {
				return
			}
			frames, taken := b.frames(n)
			if taken > n {
				t.Fatalf("seed %d: %d bytes, %d are asked for", seed, taken, n)
			}
			if taken == 0 && n > 0 {
				frames, taken = b.part(nil, 7, n), n
				b.sentPart(7, n)
			} else if taken > 0 {
				frames = slices.Clone(frames)
				b.sent(len(frames))
			}
			for len(frames) > 0 {
				h := parseHead(frames)
				if h.id != 7 || h.typ != http2.FrameData || h.length > maxFrame || h.length == 0 {
					t.Fatalf("seed %d: a frame %+v", seed, h)
				}
				out = append(out, frames[headLen:headLen+h.length]...)
				frames = frames[headLen+h.length:]
			}
			if len(out) > whole {
				t.Fatalf("seed %d: %d bytes came out, %d are of whole messages", seed, len(out), whole)
			}
		}
		for range 200 {
			if random.IntN(3) > 0 {
				piece := make([]byte, 1+random.IntN(size))
				for i := range piece {
					piece[i] = byte(random.Uint32())
				}
				in, added = append(in, piece...), added+1
				all := random.IntN(2) == 0
				b.begin(random.IntN(2) == 0)
				if b.add(7, piece, all); all {
					whole = len(in)
				}
			} else {
				take(random.IntN(3 * size))
			}
			if most := len(in) - len(out) + headLen*(2+added); b.size() > most {
				t.Fatalf("seed %d: %d bytes are kept", seed, b.size())
			}
		}
		if random.IntN(2) == 0 {
			b.letGo()
			whole = len(in)
		} else {
			b.cut()
		}
		for b.waits() {
			take(1 << 20)
		}
		if !bytes.Equal(out, in[:whole]) || !b.empty() {
			t.Fatalf("seed %d: %d of %d bytes came out", seed, len(out), whole)
		}
	}
}

// TestBacklog_bytesInFramesOfTheirOwn take little more room than the bytes.
func TestBacklog_bytesInFramesOfTheirOwn(t *testing.T) {
	var b backlog
	b.begin(false)
	for range firstWindow {
		b.add(7, []byte{1}, false)
	}
	if n := b.size(); n > firstWindow+firstWindow/100 {
		t.Errorf("%d bytes are kept", n)
	}
	b.drop()
}

// TestMessages_ended tells how much of a piece belongs to whole messages.
func TestMessages_ended(t *testing.T) {
	data := slices.Concat(message(nil), message([]byte("abc")), message([]byte(strings.Repeat("x", 300))))
	ends := []int{prefixLen, 2*prefixLen + 3, 3*prefixLen + 303}
	for size := 1; size <= len(data); size++ {
		var m messages
		for at := 0; at < len(data); at += size {
			piece := data[at:min(at+size, len(data))]
			want := 0
			for _, end := range ends {
				if end > at && end <= at+len(piece) {
					want = end - at
				}
			}
			if got := m.add(piece); got != want {
				t.Fatalf("pieces of %d, at %d: %d bytes end a message, want %d", size, at, got, want)
			}
		}
		if m.whole != 3 || m.bytes != 303 {
			t.Errorf("pieces of %d: %d messages, %d bytes", size, m.whole, m.bytes)
		}
	}
}
