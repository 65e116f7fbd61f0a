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
		_ = pass(&server.end, &client.end, make([]byte, toServerBuffer))
		server.close()
	}()
	err := pass(&client.end, &server.end, make([]byte, toClientBuffer))
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

// pass copies until the end of from.
func pass(to, from *end, buffer []byte) error {
	for {
		n, err := from.readRaw(buffer)
		if n > 0 {
			if _, err := to.writeRaw(buffer[:n]); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
