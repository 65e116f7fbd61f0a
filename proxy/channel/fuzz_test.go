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

// FuzzInspector: what is refused does not depend on how reads divide the bytes, and
// is what a plain walk over the frames finds.
func FuzzInspector(f *testing.F) {
	f.Add([]byte{}, uint8(1))
	f.Add(header(framePing, 1, 0, 7), uint8(5))
	f.Add(append(header(frameData, 0, 1, 3), "abc"...), uint8(2))
	f.Add(header(frameData, 0, 1, 1<<24), uint8(7))
	f.Fuzz(func(t *testing.T, b []byte, size uint8) {
		still := func() time.Time { return time.Unix(1000, 0) }
		whole := inspector{maxFrame: maxClientFrame, now: still}
		want := whole.pass(b)
		if reference := walk(b); !errors.Is(want, reference) || (want == nil) != (reference == nil) {
			t.Fatalf("got %v, want %v", want, reference)
		}
		pieces := inspector{maxFrame: maxClientFrame, now: still}
		var got error
		for rest := b; len(rest) > 0 && got == nil; {
			n := min(int(size)+1, len(rest))
			got = pieces.pass(rest[:n])
			rest = rest[n:]
		}
		if (got == nil) != (want == nil) {
			t.Fatalf("in pieces of %d: got %v, want %v", int(size)+1, got, want)
		}
	})
}

// walk is what an inspector should find, of bytes that are all there.
func walk(b []byte) error {
	pings := 0
	for len(b) >= frameHeaderSize {
		typ, length := b[1], binary.BigEndian.Uint32(b[8:])
		b = b[frameHeaderSize:]
		switch typ {
		case frameData:
			if length > maxClientFrame {
				return errFrameSize
			}
			b = b[min(int(length), len(b)):]
		case framePing:
			if pings++; pings > maxPings {
				return errPings
			}
		}
	}
	return nil
}

// FuzzServerHandshake: whatever a client sends, the handshake ends when the client
// goes, and leaves nothing behind.
func FuzzServerHandshake(f *testing.F) {
	f.Add([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
	f.Add([]byte(backchannelMagic))
	f.Add(append([]byte(backchannelMagic), header(1, 1, 1, 0)...))
	f.Add(append([]byte(backchannelMagic), append(header(1, 1, 1, 0), header(frameData, 0, 1, 1<<31)...)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		client, server := net.Pipe()
		go func() { _, _ = io.Copy(io.Discard, client) }() // until it is closed
		go func() {
			_, _ = client.Write(b) // the handshake may have ended
			_ = client.Close()
		}()
		conn, _, err := NewServerCredentials(insecure.NewCredentials(), Config{}).ServerHandshake(server)
		if err == nil {
			_, _ = io.Copy(io.Discard, conn) // it ends with the client
			err = conn.Close()
		} else {
			err = server.Close()
		}
		if err != nil {
			t.Error(err)
		}
	})
}
