package stream

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// rawStorage speaks HTTP/2 frame by frame, so that it can end a call in ways in which no gRPC server does.
type rawStorage struct {
	tb    testing.TB
	serve func(*rawCall)
	lis   net.Listener

	mu    sync.Mutex
	calls int
	conns []net.Conn
	wg    sync.WaitGroup
}

// rawCall is a call whose client has half-closed.
type rawCall struct {
	tb     testing.TB
	number int // counts from 1 over all connections
	stream uint32
	conn   *net.TCPConn
	framer *http2.Framer
	// The table of header compression is the connection's.
	encoder *hpack.Encoder
	block   *bytes.Buffer
}

// startRawStorage returns the address of a storage that answers calls as serve does. It runs until the test ends.
func startRawStorage(tb testing.TB, serve func(*rawCall)) string {
	tb.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	s := &rawStorage{tb: tb, serve: serve, lis: lis}
	s.wg.Go(s.accept)
	tb.Cleanup(func() {
		lis.Close()
		s.mu.Lock()
		for _, conn := range s.conns {
			conn.Close()
		}
		s.mu.Unlock()
		s.wg.Wait()
	})
	return lis.Addr().String()
}

func (s *rawStorage) accept() {
	for {
		conn, err := s.lis.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns = append(s.conns, conn)
		s.mu.Unlock()
		s.wg.Go(func() {
			defer conn.Close()
			if err := s.connection(conn.(*net.TCPConn)); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
				s.tb.Logf("raw storage: %v", err)
			}
		})
	}
}

func (s *rawStorage) connection(conn *net.TCPConn) error {
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(conn, preface); err != nil {
		return err
	}
	framer := http2.NewFramer(conn, conn)
	block := new(bytes.Buffer)
	encoder := hpack.NewEncoder(block)
	if err := framer.WriteSettings(); err != nil {
		return err
	}
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return err
		}
		switch f := frame.(type) {
		case *http2.SettingsFrame:
			if f.IsAck() {
				continue
			}
			err = framer.WriteSettingsAck()
		case *http2.PingFrame:
			if !f.IsAck() {
				err = framer.WritePing(true, f.Data)
			}
		case *http2.DataFrame:
			if !f.StreamEnded() {
				continue
			}
			s.mu.Lock()
			s.calls++
			call := &rawCall{
				tb: s.tb, number: s.calls, stream: f.StreamID, conn: conn,
				framer: framer, encoder: encoder, block: block,
			}
			s.mu.Unlock()
			s.serve(call)
		}
		if err != nil {
			return err
		}
	}
}

// headers sends a frame of headers, with END_STREAM if it is the last of the call.
func (c *rawCall) headers(last bool, kv ...string) {
	c.block.Reset()
	for i := 0; i < len(kv); i += 2 {
		c.check(c.encoder.WriteField(hpack.HeaderField{Name: kv[i], Value: kv[i+1]}))
	}
	c.check(c.framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID: c.stream, BlockFragment: c.block.Bytes(), EndHeaders: true, EndStream: last,
	}))
}

// responseHeaders sends the headers that a gRPC server sends first.
func (c *rawCall) responseHeaders() {
	c.headers(false, ":status", "200", "content-type", "application/grpc")
}

// trailersOnly ends the call with a status and nothing before it.
func (c *rawCall) trailersOnly(kv ...string) {
	c.headers(true, append([]string{":status", "200", "content-type", "application/grpc"}, kv...)...)
}

// message sends an empty message.
func (c *rawCall) message(last bool) { c.check(c.framer.WriteData(c.stream, last, make([]byte, 5))) }

func (c *rawCall) reset(code http2.ErrCode) { c.check(c.framer.WriteRSTStream(c.stream, code)) }

func (c *rawCall) goAway(last uint32) { c.check(c.framer.WriteGoAway(last, http2.ErrCodeNo, nil)) }

func (c *rawCall) hangUp() { c.check(c.conn.Close()) }

// abort closes the connection as the kernel does for a process that was killed with data unread.
func (c *rawCall) abort() {
	c.check(c.conn.SetLinger(0))
	c.check(c.conn.Close())
}

func (c *rawCall) check(err error) {
	if err != nil {
		c.tb.Errorf("raw storage: %v", err)
	}
}
