package channel

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

// TestBackchannel_everyListener has a server call its caller back while it
// answers, over each kind of connection; and serves a client that knows nothing
// of it, at the same listener.
func TestBackchannel_everyListener(t *testing.T) {
	serverTLS, clientTLS := certificates(t)
	for _, row := range []struct {
		name, network  string
		server, client credentials.TransportCredentials
	}{
		{"tcp", "tcp", nil, insecure.NewCredentials()},
		{"tls", "tcp", serverTLS, clientTLS},
		{"unix", "unix", nil, insecure.NewCredentials()},
	} {
		t.Run(row.name, func(t *testing.T) {
			handler := func(ctx context.Context) error {
				if _, isTLS := AuthInfo(ctx).(credentials.TLSInfo); isTLS != (row.name == "tls") {
					t.Errorf("got AuthInfo %T", AuthInfo(ctx))
				}
				session, ok := FromContext(ctx)
				if !ok {
					return status.Error(codes.FailedPrecondition, "no backchannel")
				}
				back, err := session.Client()
				if err != nil {
					return err
				}
				return check(ctx, back)
			}
			address := "127.0.0.1:0"
			if row.network == "unix" {
				address = filepath.Join(t.TempDir(), "s")
			}
			address = serve(t, row.network, address, newServer(handler, grpc.Creds(NewServerCredentials(row.server, Config{}))))

			made := 0
			cc := dial(t, address, NewClientCredentials(row.client, Client{Server: func() *grpc.Server {
				made++
				return newServer(func(context.Context) error { return status.Error(codes.DataLoss, "from the client") })
			}}))
			for range 3 {
				if err := check(bounded(t), cc); status.Code(err) != codes.DataLoss {
					t.Errorf("with a backchannel: got %v", err)
				}
			}
			if made != 1 {
				t.Errorf("got %d servers for one connection", made)
			}
			if err := check(bounded(t), dial(t, address, row.client)); status.Code(err) != codes.FailedPrecondition {
				t.Errorf("without a backchannel: got %v", err)
			}
		})
	}
}

func TestBackchannel_noServer(t *testing.T) {
	address := listen(t, func(ctx context.Context) error {
		session, _ := FromContext(ctx)
		back, err := session.Client()
		if err != nil {
			return err
		}
		if err := check(ctx, back); status.Code(err) != codes.Unavailable {
			t.Errorf("got %v", err)
		}
		return nil
	})
	if err := check(bounded(t), dial(t, address, NewClientCredentials(nil, Client{}))); err != nil {
		t.Error(err)
	}
}

// TestBackchannel_endsWithTheConnection closes the client's connection while a
// call to it is under way.
func TestBackchannel_endsWithTheConnection(t *testing.T) {
	ended := make(chan error, 1)
	var session *Session
	address := listen(t, func(ctx context.Context) error {
		session, _ = FromContext(ctx)
		back, err := session.Client()
		if err == nil {
			err = check(context.WithoutCancel(ctx), back)
		}
		ended <- err
		return nil
	})
	called := make(chan struct{})
	cc := dial(t, address, NewClientCredentials(nil, Client{Server: func() *grpc.Server {
		return newServer(func(ctx context.Context) error {
			close(called)
			<-ctx.Done()
			return nil
		})
	}}))
	go func() {
		<-called
		_ = cc.Close()
	}()
	if err := check(bounded(t), cc); err == nil {
		t.Error("the call ended well")
	}
	if err := <-ended; err == nil {
		t.Error("the call back ended well")
	}
	<-session.Done()
	if back, err := session.Client(); err == nil && check(bounded(t), back) == nil {
		t.Error("a call back after the end ended well")
	}
}

// TestClient_notSpoken dials servers that do not speak the protocol.
func TestClient_notSpoken(t *testing.T) {
	plain := serve(t, "tcp", "127.0.0.1:0", newServer(nil))
	for _, row := range []struct {
		name  string
		serve func(net.Conn)
	}{
		{"closes at once", func(c net.Conn) {}},
		{"closes after reading", func(c net.Conn) { _, _ = io.ReadFull(c, make([]byte, 20)) }},
		{"talks HTTP", func(c net.Conn) {
			go func() { _, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n") }()
			_, _ = io.Copy(io.Discard, c)
		}},
		{"talks HTTP/2", func(c net.Conn) {
			go func() { _, _ = c.Write([]byte{0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0x40, 0}) }()
			_, _ = io.Copy(io.Discard, c)
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			client, server := net.Pipe()
			go func() {
				row.serve(server)
				_ = server.Close()
			}()
			wantNotSpoken(t, client)
		})
	}
	t.Run("gRPC without it", func(t *testing.T) {
		conn, err := net.Dial("tcp", plain)
		if err != nil {
			t.Fatal(err)
		}
		wantNotSpoken(t, conn)
	})
}

func wantNotSpoken(t *testing.T, conn net.Conn) {
	t.Helper()
	made := false
	creds := NewClientCredentials(nil, Client{Server: func() *grpc.Server {
		made = true
		return grpc.NewServer()
	}})
	if _, _, err := creds.ClientHandshake(bounded(t), "", conn); !errors.Is(err, ErrNotSpoken) {
		t.Errorf("got %v", err)
	}
	if made {
		t.Error("a server was made")
	}
}

// TestClient_silentServer waits no longer than it is told to.
func TestClient_silentServer(t *testing.T) {
	client, server := net.Pipe()
	go func() { _, _ = io.Copy(io.Discard, server) }() // until client is closed
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, _, err := NewClientCredentials(nil, Client{}).ClientHandshake(ctx, "", client)
	if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrNotSpoken) {
		t.Errorf("got %v", err)
	}
}

// TestServer_silentClient bounds the wait for each of a client's first words.
func TestServer_silentClient(t *testing.T) {
	for _, sent := range []string{"", "PRI", "backchannel", "backchannel\x00\x01"} {
		synctest.Test(t, func(t *testing.T) {
			client, server := net.Pipe()
			defer client.Close()
			go func() { _, _ = io.WriteString(client, sent) }()
			began := time.Now()
			_, _, err := NewServerCredentials(nil, Config{}).ServerHandshake(server)
			_ = server.Close()
			if took := time.Since(began); err == nil || took > time.Minute {
				t.Errorf("%q: got %v after %v", sent, err, took)
			}
		})
	}
}
