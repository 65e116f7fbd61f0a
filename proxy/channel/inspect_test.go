package channel

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc/credentials/insecure"
)

// header is a frame's.
func header(typ byte, flags uint16, stream, length uint32) []byte {
	h := make([]byte, frameHeaderSize)
	h[1] = typ
	binary.BigEndian.PutUint16(h[2:], flags)
	binary.BigEndian.PutUint32(h[4:], stream)
	binary.BigEndian.PutUint32(h[8:], length)
	return h
}

func TestInspector_pings(t *testing.T) {
	now := time.Unix(1000, 0)
	i := inspector{maxFrame: maxClientFrame, now: func() time.Time { return now }}
	ping := header(framePing, 1, 0, 7)
	for n := range maxPings {
		if err := i.pass(ping); err != nil {
			t.Fatalf("ping %d: %v", n, err)
		}
	}
	if err := i.pass(ping); !errors.Is(err, errPings) {
		t.Errorf("one too many: got %v", err)
	}
	// One every 10 s is no abuse, for however long.
	i = inspector{maxFrame: maxClientFrame, now: func() time.Time { return now }}
	for range 1000 {
		now = now.Add(pingEvery)
		if err := i.pass(ping); err != nil {
			t.Fatal(err)
		}
	}
}

// TestInspector_inPieces: frames are found wherever reads divide them, and data is
// never taken for a header.
func TestInspector_inPieces(t *testing.T) {
	var all []byte
	for range 200 {
		body := header(framePing, 1, 0, 1) // data that looks like a ping
		all = append(append(all, header(frameData, 0, 1, uint32(len(body)))...), body...)
	}
	for size := 1; size < 40; size++ {
		i := inspector{maxFrame: maxClientFrame, now: time.Now}
		for rest := all; len(rest) > 0; {
			n := min(size, len(rest))
			if err := i.pass(rest[:n]); err != nil {
				t.Fatalf("pieces of %d: %v", size, err)
			}
			rest = rest[n:]
		}
		if err := i.pass(header(frameData, 0, 1, maxClientFrame+1)); !errors.Is(err, errFrameSize) {
			t.Errorf("pieces of %d: a frame that is too large: got %v", size, err)
		}
	}
}

func TestInspector_allocatesNothing(t *testing.T) {
	frame := append(header(frameData, 0, 1, 1000), make([]byte, 1000)...)
	i := inspector{maxFrame: maxClientFrame, now: time.Now}
	if n := testing.AllocsPerRun(100, func() { _ = i.pass(frame) }); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
}

// attack is a client that has begun a session, and may send any frame.
func attack(t *testing.T) net.Conn {
	t.Helper()
	client, far := net.Pipe()
	creds := NewServerCredentials(insecure.NewCredentials(), Config{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		conn, _, err := creds.ServerHandshake(far)
		if err != nil {
			_ = far.Close()
			return
		}
		_, _ = io.Copy(io.Discard, conn) // until the session ends
		_ = conn.Close()
	}()
	go func() { _, _ = io.Copy(io.Discard, client) }() // until it is closed
	t.Cleanup(func() {
		_ = client.Close()
		<-ended
	})
	if _, err := client.Write(append([]byte(backchannelMagic), header(1, 1, 1, 0)...)); err != nil {
		t.Fatal(err)
	}
	return client
}

// TestServer_sessionEndsUnderAttack: pings and announcements end the session before
// they cost anything.
func TestServer_sessionEndsUnderAttack(t *testing.T) {
	for name, frame := range map[string][]byte{
		"ping flood":            header(framePing, 1, 0, 1),
		"16 MiB are announced":  header(frameData, 0, 1, 16<<20),
		"a frame of no version": append([]byte{9}, header(frameData, 0, 1, 0)[1:]...),
	} {
		t.Run(name, func(t *testing.T) {
			client := attack(t)
			sent := 0
			for sent < 100_000 {
				if _, err := client.Write(frame); err != nil {
					break
				}
				sent++
			}
			if sent > maxPings+1 {
				t.Errorf("%d frames were taken", sent)
			}
		})
	}
}
