package postgres

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"praefect/test/must"
)

// moment is when a relay cuts a connection.
type moment int32

const (
	notAtAll moment = iota
	beforeCommit
	afterCommit // the server has executed it, and its answer is lost
	atCommit    // not cut but silent: nothing is passed on any more
)

// relay stands between client and server and cuts connections at a chosen moment of a transaction.
type relay struct {
	listener net.Listener
	server   string
	cut      atomic.Int32 // the moment of the next cut, then notAtAll again
	refuse   atomic.Bool  // after a cut: connections are closed as they come
	cuts     atomic.Int32
	all      sync.WaitGroup
	ctx      context.Context
}

// throughRelay starts a relay to the server of a DSN and returns it with the DSN that leads through it.
func throughRelay(t *testing.T, dsn, server string) (*relay, string) {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must.Succeed(t, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	r := &relay{listener: listener, server: server, ctx: ctx}
	r.all.Go(r.accept)
	t.Cleanup(func() {
		cancel()
		must.Succeed(t, listener.Close())
		r.all.Wait()
	})
	_, port, found := strings.Cut(listener.Addr().String(), ":")
	if !found || !strings.Contains(dsn, "port='") {
		t.Fatalf("no port in %q or %q", listener.Addr(), dsn)
	}
	return r, regexp.MustCompile(`port='\d+'`).ReplaceAllString(dsn, "port='"+port+"'")
}

func (r *relay) accept() {
	for {
		client, err := r.listener.Accept()
		if err != nil {
			return // closed
		}
		r.all.Go(func() { r.serve(client) })
	}
}

// serve relays one connection until either side, or the relay, ends it.
func (r *relay) serve(client net.Conn) {
	defer func() { _ = client.Close() }()
	if r.refuse.Load() && r.cut.Load() == int32(notAtAll) {
		return
	}
	server, err := new(net.Dialer).DialContext(r.ctx, "tcp", r.server)
	if err != nil {
		return
	}
	var lost atomic.Bool // the next answer is swallowed, and ends the connection
	ended := context.AfterFunc(r.ctx, func() { _ = errors.Join(client.Close(), server.Close()) })
	defer ended()
	var back sync.WaitGroup
	back.Go(func() {
		defer func() { _ = errors.Join(client.Close(), server.Close()) }()
		buffer := make([]byte, 64<<10)
		for {
			n, err := server.Read(buffer)
			if err != nil || lost.Load() {
				return
			}
			if _, err := client.Write(buffer[:n]); err != nil {
				return
			}
		}
	})
	r.forward(client, server, &lost)
	if !lost.Load() {
		// The server ends the transaction before the connection, and only then does
		// the client learn of it: what comes next finds nothing locked.
		_ = server.(*net.TCPConn).CloseWrite()
	}
	back.Wait()
}

// forward passes messages to the server, looking for a commit.
func (r *relay) forward(client io.Reader, server io.Writer, lost *atomic.Bool) {
	header := 4 // the first message has no type
	for {
		message, err := readMessage(client, header)
		if err != nil {
			return
		}
		header = 5
		if bytes.Equal(message, []byte("Q\x00\x00\x00\x0bCOMMIT\x00")) {
			switch when := moment(r.cut.Swap(int32(notAtAll))); when {
			case beforeCommit:
				r.cuts.Add(1)
				return
			case afterCommit:
				r.cuts.Add(1)
				lost.Store(true)
				_, _ = server.Write(message)
				return
			case atCommit:
				r.cuts.Add(1)
				_, _ = io.Copy(io.Discard, client)
				return
			}
		}
		if _, err := server.Write(message); err != nil {
			return
		}
	}
}

// readMessage reads a message whose header ends in its length, which counts itself.
func readMessage(from io.Reader, header int) ([]byte, error) {
	message := make([]byte, header)
	if _, err := io.ReadFull(from, message); err != nil {
		return nil, err
	}
	length := binary.BigEndian.Uint32(message[header-4:])
	message = append(message, make([]byte, length-4)...)
	_, err := io.ReadFull(from, message[header:])
	return message, err
}
