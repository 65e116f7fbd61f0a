package main

import (
	"context"
	"io"
	"net"
	"sync"
)

// copying is the path through a process that copies bytes between two
// connections and knows nothing of gRPC: the cost of one more process.
const copying = "copying"

// serveCopying is this program as such a process.
func serveCopying(storage string) error {
	return serveUntilEOF(func(ctx context.Context, lis net.Listener) error {
		var pumps sync.WaitGroup
		defer pumps.Wait()
		stop := context.AfterFunc(ctx, func() { lis.Close() })
		defer stop()
		for {
			client, err := lis.Accept()
			if ctx.Err() != nil {
				return nil
			}
			if err != nil {
				return err
			}
			server, err := new(net.Dialer).DialContext(ctx, "tcp", storage)
			if err != nil {
				client.Close()
				return err
			}
			for _, to := range [][2]net.Conn{{client, server}, {server, client}} {
				pumps.Go(func() { pump(ctx, to[0], to[1]) })
			}
		}
	})
}

// pump copies until one of both ends or ctx does, and closes them.
func pump(ctx context.Context, to, from net.Conn) {
	closeBoth := func() { to.Close(); from.Close() } // the other pump may have done it
	stop := context.AfterFunc(ctx, closeBoth)
	defer stop()
	defer closeBoth()
	// Without the shortcuts of the kernel, which a proxy of gRPC cannot take.
	io.Copy(struct{ io.Writer }{to}, struct{ io.Reader }{from}) // its end is all that matters
}
