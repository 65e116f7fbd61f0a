package channel

import (
	"errors"
	"io"
	"time"
)

// ClientEnd is a sidechannel as its client sees it.
type ClientEnd struct {
	end
	frame       []byte // room for one pkt-line
	writeClosed bool
}

// confirm tells the server that a call waits.
func (c *ClientEnd) confirm() error {
	if err := c.stream.SetWriteDeadline(time.Now().Add(openingTimeout)); err != nil {
		return err
	}
	if _, err := c.writeRaw([]byte(confirmation)); err != nil {
		return err
	}
	err := c.stream.SetWriteDeadline(time.Time{})
	if c.gone.Load() {
		c.cut() // it came in between
	}
	return err
}

// Read reads the data of the server, until io.EOF.
func (c *ClientEnd) Read(p []byte) (int, error) { return c.readRaw(p) }

// Write writes to the server.
func (c *ClientEnd) Write(p []byte) (n int, err error) {
	if c.writeClosed {
		return 0, io.ErrClosedPipe
	}
	for len(p) > 0 {
		payload := p[:min(len(p), maxPayload)]
		c.frame = appendFrame(c.frame[:0], payload)
		if _, err := c.writeRaw(c.frame); err != nil {
			return n, err
		}
		n += len(payload)
		p = p[len(payload):]
	}
	return n, nil
}

// CloseWrite tells the server that it has everything. Reading goes on. A server
// that does not get to know takes the sidechannel for broken.
func (c *ClientEnd) CloseWrite() error {
	if c.writeClosed {
		return nil
	}
	c.writeClosed = true
	_, err := c.writeRaw([]byte(flush))
	return err
}

// ServerEnd is a sidechannel as its server sees it.
type ServerEnd struct {
	end
	frames unframer
	stop   func() bool
}

// Read reads the data of the client, until io.EOF. If the client goes without
// saying that this was everything, the error is io.ErrUnexpectedEOF.
func (s *ServerEnd) Read(p []byte) (int, error) { return s.frames.read(s.readRaw, p) }

// Write writes to the client.
func (s *ServerEnd) Write(p []byte) (int, error) { return s.writeRaw(p) }

// Close tells the client that it has everything.
func (s *ServerEnd) Close() error {
	s.stop()
	s.close()
	return nil
}

var errFrame = errors.New("the client wrote no pkt-line to the sidechannel")
