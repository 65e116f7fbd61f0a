// Package wire owns a client that speaks HTTP/2 frame by frame: no library lets a client attack a
// server. It promises to send the frames that its caller asks for, and to read nothing by itself.
// Attacks on a cluster, and their short forms in tests, may use it.
package wire

import (
	"bytes"
	"io"
	"net"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// Client is one connection. Make one with New.
type Client struct {
	net.Conn
	// Framer writes frames, and reads the frames of the server.
	Framer  *http2.Framer
	headers bytes.Buffer
	encoder *hpack.Encoder
	stream  uint32 // the id of the next one
}

// New begins to speak HTTP/2 on a connection.
func New(conn net.Conn) (*Client, error) {
	c := &Client{Conn: conn, Framer: http2.NewFramer(conn, conn), stream: 1}
	c.encoder = hpack.NewEncoder(&c.headers)
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		return nil, err
	}
	return c, c.Framer.WriteSettings()
}

// Open begins a call, and returns the id of its stream. An empty token is none.
func (c *Client) Open(method, token string, more ...hpack.HeaderField) (uint32, error) {
	c.headers.Reset()
	fields := []hpack.HeaderField{
		{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "http"}, {Name: ":path", Value: method},
		{Name: ":authority", Value: "praefect"}, {Name: "content-type", Value: "application/grpc"}, {Name: "te", Value: "trailers"},
	}
	if token != "" {
		fields = append(fields, hpack.HeaderField{Name: "authorization", Value: token})
	}
	for _, f := range append(fields, more...) {
		if err := c.encoder.WriteField(f); err != nil {
			return 0, err
		}
	}
	id, block := c.stream, c.headers.Bytes()
	c.stream += 2
	const most = 16 << 10 // in one frame
	err := c.Framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block[:min(most, len(block))], EndHeaders: len(block) <= most})
	for block = block[min(most, len(block)):]; err == nil && len(block) > 0; {
		n := min(most, len(block))
		err = c.Framer.WriteContinuation(id, len(block) == n, block[:n])
		block = block[n:]
	}
	return id, err
}
