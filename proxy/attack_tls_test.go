package proxy

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"math/big"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/net/http2"
	"google.golang.org/grpc/credentials"

	"praefect/fsm/state"
	"praefect/proxy/transaction"
	"praefect/test/must"
)

// pipes is a listener whose connections are in this process, so that time can be simulated.
type pipes struct {
	incoming chan net.Conn
	closed   chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.incoming:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	close(p.closed)
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// hello is what a client of TLS says first.
func hello(t *testing.T) []byte {
	t.Helper()
	near, far := net.Pipe()
	go func() { _ = tls.Client(near, &tls.Config{InsecureSkipVerify: true}).Handshake() }() // it ends with far
	record := make([]byte, 4096)
	n, err := far.Read(record)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = near.Close(), far.Close()
	return record[:n]
}

// drip writes one byte a second, until the other side has had enough; conn is then closed.
func drip(conn net.Conn, bytes []byte, done *sync.WaitGroup) {
	defer done.Done()
	for i := range bytes {
		if _, err := conn.Write(bytes[i : i+1]); err != nil {
			return
		}
		time.Sleep(time.Second)
	}
}

// certificate makes the settings of a server on this host, and what a client of it trusts.
func certificate(t *testing.T) (server *tls.Config, roots *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must.Succeed(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must.Succeed(t, err)
	leaf, err := x509.ParseCertificate(der)
	must.Succeed(t, err)
	roots = x509.NewCertPool()
	roots.AddCert(leaf)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, NextProtos: []string{"h2"}}, roots
}

// TestAttack_halfOpen: a connection that has not shown a token ends in time, wherever its client
// stops or however slowly it goes on: the deadline stands before the handshake.
func TestAttack_halfOpen(t *testing.T) {
	server, _ := certificate(t)
	first := hello(t)
	secured := func(conn net.Conn) net.Conn {
		return tls.Client(conn, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	}
	for _, row := range []struct {
		name  string
		tls   bool
		limit time.Duration
		begin func(conn net.Conn, running *sync.WaitGroup) io.Reader // reads until the server has closed it
	}{
		{"says nothing", true, handshakeTimeout, func(c net.Conn, _ *sync.WaitGroup) io.Reader { return c }},
		{"begins a handshake", true, handshakeTimeout, func(c net.Conn, _ *sync.WaitGroup) io.Reader {
			_, _ = c.Write(first[:100])
			return c
		}},
		{"begins it byte by byte", true, handshakeTimeout, func(c net.Conn, running *sync.WaitGroup) io.Reader {
			running.Add(1)
			go drip(c, first, running)
			return c
		}},
		{"does not finish it", true, handshakeTimeout, func(c net.Conn, _ *sync.WaitGroup) io.Reader {
			_, _ = c.Write(first)
			return c
		}},
		{"finishes it and says nothing", true, 2 * handshakeTimeout, func(c net.Conn, _ *sync.WaitGroup) io.Reader { return secured(c) }},
		{"says nothing without TLS", false, handshakeTimeout, func(c net.Conn, _ *sync.WaitGroup) io.Reader { return c }},
		{"begins HTTP/2 byte by byte", false, 3 * handshakeTimeout, func(c net.Conn, running *sync.WaitGroup) io.Reader {
			running.Add(1)
			go drip(c, []byte(http2.ClientPreface), running)
			return c
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := slog.New(slog.DiscardHandler)
				instance, err := New(Deps{
					Logger: log, Transactions: transaction.NewManager(func() state.Incarnation { return 1 }, log, nil),
				}, prometheus.NewRegistry(), Config{Auth: Auth{Token: clientToken}, Frames: framesOn})
				if err != nil {
					t.Fatal(err)
				}
				var creds credentials.TransportCredentials
				if row.tls {
					creds = credentials.NewTLS(server)
				}
				lis := &pipes{incoming: make(chan net.Conn), closed: make(chan struct{})}
				served := make(chan error, 1)
				go func() { served <- instance.Serve(lis, "tls", creds) }()
				near, far := net.Pipe()
				lis.incoming <- far
				began := time.Now()
				var running sync.WaitGroup
				_, _ = io.Copy(io.Discard, row.begin(near, &running)) // it ends however the server says it
				if took := time.Since(began); took > row.limit || took < time.Second {
					t.Errorf("the connection ended after %v, want %v at most", took, row.limit)
				}
				_ = near.Close()
				running.Wait()
				synctest.Wait()
				if all, unproved := instance.clients.Open(); all+unproved != 0 {
					t.Errorf("%d connections are open, %d of them unproved", all, unproved)
				}
				instance.Shutdown(context.Background())
				if err := <-served; err != nil {
					t.Error(err)
				}
			})
		})
	}
}
