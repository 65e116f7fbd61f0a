package channel

import (
	"context"
	"fmt"
	"io"
	"time"
)

// The buffers of a relay: most of the data goes to the client.
const (
	toClientBuffer = 128 << 10
	toServerBuffer = 16 << 10
	// toKeenClientBuffer is the buffer for a client that has taken keenPieces full buffers: the whole
	// window of a server, so that one wake-up passes all of it on. A client that takes nothing
	// from the start keeps no more than the smaller one.
	toKeenClientBuffer = 256 << 10
	keenPieces         = 8
)

// Relay joins the sidechannel of a client with that of a server beyond, byte by
// byte, until the server closes it or ctx ends. It closes the client's when that
// has everything. It holds no more than a buffer for each direction.
func Relay(ctx context.Context, client *ServerEnd, server *ClientEnd) error {
	stop := context.AfterFunc(ctx, func() {
		client.cut()
		server.cut()
	})
	defer stop()
	requested := make(chan struct{})
	go func() { // until the end of this function
		defer close(requested)
		// At any end of it, the server learns of it: if it is the client's, it has
		// closed the sidechannel or is gone; if it is the server's, that tells below.
		_ = pass(&server.end, &client.end, &piece{buffer: make([]byte, toServerBuffer)})
		server.close()
	}()
	err := pass(&client.end, &server.end, &piece{buffer: make([]byte, toClientBuffer), most: toKeenClientBuffer})
	// No reader is left for the data that the client may yet write.
	_ = client.stream.SetReadDeadline(time.Unix(1, 0))
	_ = server.stream.SetWriteDeadline(time.Unix(1, 0))
	<-requested
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("relay a sidechannel: %w", err)
	}
	return client.Close()
}

// piece is the buffer of one direction. It grows once if it is full time and again.
type piece struct {
	buffer []byte
	most   int // what it grows to; 0: it does not
	full   int // how often it was
}

// passed is told of n bytes that the other side has taken.
func (p *piece) passed(n int) {
	if n < len(p.buffer) || n >= p.most {
		return
	}
	if p.full++; p.full == keenPieces {
		p.buffer = make([]byte, p.most)
	}
}

// pass copies until the end of from.
func pass(to, from *end, p *piece) error {
	for {
		n, err := from.readRaw(p.buffer)
		if n > 0 {
			if _, err := to.writeRaw(p.buffer[:n]); err != nil {
				return err
			}
			p.passed(n)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
