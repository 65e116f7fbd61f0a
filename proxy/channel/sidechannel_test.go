package channel

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// TestSidechannel_conversation sends a request and an answer through a
// sidechannel, larger than one pkt-line and than the window.
func TestSidechannel_conversation(t *testing.T) {
	request := bytes.Repeat([]byte("want"), 200<<10)
	answer := bytes.Repeat([]byte("pack"), 700<<10)
	address := listen(t, func(ctx context.Context) error {
		side, err := Open(ctx)
		if err != nil {
			return err
		}
		got, err := io.ReadAll(side)
		if err != nil || !bytes.Equal(got, request) {
			t.Errorf("server got %d bytes and %v", len(got), err)
		}
		if _, err := side.Write(answer); err != nil {
			t.Errorf("server: %v", err)
		}
		return side.Close()
	})
	waiting := new(Registry)
	cc := dial(t, address, NewClientCredentials(nil, Client{Sidechannels: waiting}))
	for range 3 {
		ctx, waiter := waiting.Expect(bounded(t), func(_ context.Context, side *ClientEnd) error {
			_, err := side.Write(request)
			if err = errors.Join(err, side.CloseWrite()); err != nil {
				return err
			}
			got, err := io.ReadAll(side)
			if !bytes.Equal(got, answer) {
				t.Errorf("client got %d bytes", len(got))
			}
			return err
		})
		if err := errors.Join(check(ctx, cc), waiter.Close()); err != nil {
			t.Error(err)
		}
	}
	if len(waiting.waiters) > 0 {
		t.Errorf("%d waiters are left", len(waiting.waiters))
	}
}

// TestOpen_refused opens sidechannels for which nobody waits.
func TestOpen_refused(t *testing.T) {
	address := listen(t, func(ctx context.Context) error {
		side, err := Open(ctx)
		if err == nil {
			return side.Close()
		}
		return err
	})
	opened := func(ctx context.Context, creds Client) error {
		return check(ctx, dial(t, address, NewClientCredentials(nil, creds)))
	}
	named := metadata.AppendToOutgoingContext(bounded(t), IDHeader, "7")
	if err := opened(bounded(t), Client{}); err == nil {
		t.Error("without an id: no error")
	}
	if err := opened(named, Client{}); err == nil {
		t.Error("without a registry: no error")
	}
	if err := opened(named, Client{Sidechannels: new(Registry)}); err == nil {
		t.Error("with an unknown id: no error")
	}
	waiting := new(Registry)
	ctx, waiter := waiting.Expect(bounded(t), nil)
	if err := waiter.Close(); err != ErrNotOpened {
		t.Errorf("got %v", err)
	}
	if err := opened(ctx, Client{Sidechannels: waiting}); err == nil {
		t.Error("with a waiter that was closed: no error")
	}
}

// TestOpen_withoutBackchannel tells a handler that its client has none.
func TestOpen_withoutBackchannel(t *testing.T) {
	var got error
	address := listen(t, func(ctx context.Context) error {
		_, got = Open(ctx)
		return nil
	})
	cc := dial(t, address, orInsecure(nil))
	if err := check(metadata.AppendToOutgoingContext(bounded(t), IDHeader, "1"), cc); err != nil || got != ErrNotSpoken {
		t.Errorf("got %v, %v", got, err)
	}
	if err := check(bounded(t), cc); err != nil || got != ErrNotAsked {
		t.Errorf("got %v, %v", got, err)
	}
}

// TestSidechannel_cutOff ends the calls of ends that wait in vain.
func TestSidechannel_cutOff(t *testing.T) {
	serverCut := make(chan error, 1)
	address := listen(t, func(ctx context.Context) error {
		side, err := Open(ctx)
		if err != nil { // cut off while it was opened
			serverCut <- err
			return err
		}
		defer side.Close()
		_, err = side.Read(make([]byte, 1))
		serverCut <- err
		return err
	})
	waiting := new(Registry)
	cc := dial(t, address, NewClientCredentials(nil, Client{Sidechannels: waiting}))
	ctx, cancel := context.WithCancel(bounded(t))
	ctx, waiter := waiting.Expect(ctx, func(_ context.Context, side *ClientEnd) error {
		cancel()
		_, err := side.Read(make([]byte, 1))
		return err
	})
	if err := check(ctx, cc); err == nil {
		t.Error("the call ended well")
	}
	if err := waiter.Close(); !errors.Is(err, errCut) {
		t.Errorf("client's end: got %v", err)
	}
	if err := <-serverCut; err == nil {
		t.Error("server's end: no error")
	}
}

// TestSidechannel_connectionLost tells a broken connection from the end.
func TestSidechannel_connectionLost(t *testing.T) {
	opened := make(chan struct{})
	server := newServer(func(ctx context.Context) error {
		side, err := Open(ctx)
		if err != nil {
			return err
		}
		defer side.Close()
		_, err = side.Write([]byte("a"))
		close(opened)
		<-ctx.Done()
		return err
	}, grpc.Creds(NewServerCredentials(nil, Config{})))
	address := serve(t, "tcp", "127.0.0.1:0", server)
	go func() {
		<-opened
		server.Stop()
	}()
	waiting := new(Registry)
	ctx, waiter := waiting.Expect(bounded(t), func(_ context.Context, side *ClientEnd) error {
		_, err := io.Copy(io.Discard, side)
		return err
	})
	if err := check(ctx, dial(t, address, NewClientCredentials(nil, Client{Sidechannels: waiting}))); err == nil {
		t.Error("the call ended well")
	}
	if err := waiter.Close(); err == nil || err == ErrNotOpened {
		t.Errorf("got %v", err)
	}
}
