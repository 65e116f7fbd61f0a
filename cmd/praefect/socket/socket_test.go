package socket_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"praefect/cmd/praefect/socket"
	"praefect/test/must"
)

// pair returns both ends of a connection: ours is one of this package, theirs of package net.
func pair(t *testing.T, network, address string) (ours, theirs net.Conn) {
	t.Helper()
	var c net.ListenConfig
	l, err := c.Listen(t.Context(), network, address)
	must.Succeed(t, err)
	defer l.Close()
	var d net.Dialer
	theirs, err = d.DialContext(t.Context(), network, l.Addr().String())
	must.Succeed(t, err)
	accepted, err := l.Accept()
	must.Succeed(t, err)
	ours = socket.New(accepted)
	t.Cleanup(func() {
		for _, c := range []net.Conn{ours, theirs} {
			if err := c.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
				t.Error(err)
			}
		}
	})
	return ours, theirs
}

// TestConn_carriesBytes sends more than a socket holds, both ways at once, and the end after it.
func TestConn_carriesBytes(t *testing.T) {
	for network, address := range map[string]string{"tcp": "127.0.0.1:0", "unix": filepath.Join(t.TempDir(), "s")} {
		t.Run(network, func(t *testing.T) {
			ours, theirs := pair(t, network, address)
			sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<19) // 8 MiB
			failures := make(chan error, 2)
			for _, c := range []net.Conn{ours, theirs} {
				go func() {
					n, err := c.Write(sent)
					if err == nil && n != len(sent) {
						err = io.ErrShortWrite
					}
					failures <- err
				}()
			}
			for _, c := range []net.Conn{theirs, ours} {
				got := make([]byte, len(sent))
				if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, sent) {
					t.Errorf("%T: other bytes came, err %v", c, err)
				}
			}
			for range 2 {
				must.Succeed(t, <-failures)
			}
			must.Succeed(t, theirs.Close())
			if n, err := ours.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Errorf("read %d bytes after the end: %v", n, err)
			}
		})
	}
}

// TestConn_failsAsPackageNetDoes compares the errors with those of the connection below.
func TestConn_failsAsPackageNetDoes(t *testing.T) {
	read := func(c net.Conn) error { _, err := c.Read(make([]byte, 1)); return err }
	write := func(c net.Conn) error {
		for {
			if _, err := c.Write(make([]byte, 1<<20)); err != nil {
				return err
			}
		}
	}
	for name, row := range map[string]struct {
		before func(ours, theirs net.Conn) error
		call   func(net.Conn) error
		want   error
		text   string
	}{
		"a read after the deadline":  {func(ours, _ net.Conn) error { return ours.SetDeadline(time.Unix(1, 0)) }, read, os.ErrDeadlineExceeded, ": i/o timeout"},
		"a write after the deadline": {func(ours, _ net.Conn) error { return ours.SetDeadline(time.Unix(1, 0)) }, write, os.ErrDeadlineExceeded, ": i/o timeout"},
		"a read after the close":     {func(ours, _ net.Conn) error { return ours.Close() }, read, net.ErrClosed, ": use of closed network connection"},
		"a write after the close":    {func(ours, _ net.Conn) error { return ours.Close() }, write, net.ErrClosed, ": use of closed network connection"},
		"a read after a reset": {func(_, theirs net.Conn) error {
			return errors.Join(theirs.(*net.TCPConn).SetLinger(0), theirs.Close())
		}, read, syscall.ECONNRESET, ": read: connection reset by peer"},
		"a write to an end that is gone": {func(_, theirs net.Conn) error {
			return errors.Join(theirs.(*net.TCPConn).SetLinger(0), theirs.Close())
		}, func(c net.Conn) error { return errors.Join(read(c), write(c)) }, syscall.EPIPE, ": write: broken pipe"},
	} {
		t.Run(name, func(t *testing.T) {
			ours, theirs := pair(t, "tcp", "127.0.0.1:0")
			must.Succeed(t, row.before(ours, theirs))
			err := row.call(ours)
			if !errors.Is(err, row.want) || !strings.HasSuffix(err.Error(), row.text) {
				t.Errorf("got %v, want %v", err, row.want)
			}
			if timeout, ok := errors.AsType[net.Error](err); row.want == os.ErrDeadlineExceeded && (!ok || !timeout.Timeout()) {
				t.Errorf("%v is no timeout", err)
			}
		})
	}
}

// TestConn_closeEndsAWait closes a connection while one goroutine reads and another one writes.
func TestConn_closeEndsAWait(t *testing.T) {
	ours, _ := pair(t, "tcp", "127.0.0.1:0")
	ended := make(chan error, 2)
	go func() { _, err := ours.Read(make([]byte, 1)); ended <- err }()
	go func() { _, err := ours.Write(make([]byte, 64<<20)); ended <- err }()
	must.Succeed(t, ours.Close())
	for range 2 {
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Errorf("ended with %v", err)
		}
	}
}

// TestNew_keepsConnectionsInMemory: connections in memory are as they were.
func TestNew_keepsConnectionsInMemory(t *testing.T) {
	a, b := net.Pipe()
	defer b.Close()
	if socket.New(a) != a {
		t.Error("another connection")
	}
	must.Succeed(t, a.Close())
}

// TestConn_allocatesNothing: a read and a write of a few bytes.
func TestConn_allocatesNothing(t *testing.T) {
	ours, theirs := pair(t, "tcp", "127.0.0.1:0")
	go func() { _, _ = io.Copy(theirs, theirs) }() // until the test closes both
	b := make([]byte, 100)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if n := testing.AllocsPerRun(100, func() {
		if _, err := ours.Write(b); err != nil || ctx.Err() != nil {
			t.Fatal(err, ctx.Err())
		}
		if _, err := io.ReadFull(ours, b); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("a write and a read allocate %v times", n)
	}
}
