package secure

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// identity is a certificate for 127.0.0.1, and who trusts it.
type identity struct {
	pair  tls.Certificate
	roots *x509.CertPool
	pem   []byte // certificate and key
}

func newIdentity(t *testing.T) identity {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...)
	pair, err := tls.X509KeyPair(text, text)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	return identity{pair, roots, text}
}

// serve serves health checks until the test ends, and returns the address.
func serve(t *testing.T, creds credentials.TransportCredentials) string {
	t.Helper()
	server := grpc.NewServer(grpc.Creds(creds))
	healthpb.RegisterHealthServer(server, health.NewServer())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// check makes one call.
func check(t *testing.T, address string, creds credentials.TransportCredentials) error {
	t.Helper()
	cc, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(creds))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := cc.Close(); err != nil {
			t.Error(err)
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err = healthpb.NewHealthClient(cc).Check(ctx, &healthpb.HealthCheckRequest{})
	return err
}

func TestNew_speaksWithGRPCsOwn(t *testing.T) {
	id := newIdentity(t)
	server, client := &tls.Config{Certificates: []tls.Certificate{id.pair}}, &tls.Config{RootCAs: id.roots}
	if err := check(t, serve(t, New(server)), credentials.NewTLS(client)); err != nil {
		t.Errorf("as a server: %v", err) // which it must tell that it speaks HTTP/2
	}
	if err := check(t, serve(t, credentials.NewTLS(server)), New(client)); err != nil {
		t.Errorf("as a client: %v", err)
	}
}

func TestNew_verifiesTheServer(t *testing.T) {
	id, other := newIdentity(t), newIdentity(t)
	address := serve(t, New(&tls.Config{Certificates: []tls.Certificate{id.pair}}))
	if err := check(t, address, New(&tls.Config{RootCAs: other.roots})); err == nil || !strings.Contains(err.Error(), "x509") {
		t.Errorf("an unknown authority: got %v", err)
	}
	_, port, _ := net.SplitHostPort(address)
	if err := check(t, "localhost:"+port, New(&tls.Config{RootCAs: id.roots})); err == nil || !strings.Contains(err.Error(), "localhost") {
		t.Errorf("another name: got %v", err)
	}
	if err := check(t, "localhost:"+port, New(&tls.Config{RootCAs: id.roots, ServerName: "127.0.0.1"})); err != nil {
		t.Errorf("another name, but the settings say which: %v", err)
	}
}

func TestNewServer_followsItsSettings(t *testing.T) {
	before, after := newIdentity(t), newIdentity(t)
	var current atomic.Pointer[tls.Config]
	current.Store(Settings(&tls.Config{Certificates: []tls.Certificate{before.pair}}))
	address := serve(t, NewServer(current.Load).Clone())
	if err := check(t, address, New(&tls.Config{RootCAs: before.roots})); err != nil {
		t.Error(err)
	}
	current.Store(Settings(&tls.Config{Certificates: []tls.Certificate{after.pair}}))
	if err := check(t, address, credentials.NewTLS(&tls.Config{RootCAs: after.roots})); err != nil {
		t.Error(err)
	}
	if err := check(t, address, New(&tls.Config{RootCAs: before.roots})); err == nil {
		t.Error("the server still shows its first certificate")
	}
}

// A TLS hop of a proxy in TCP mode negotiates no protocol, on either side.
func TestNew_throughAHAProxy(t *testing.T) {
	haproxy, err := exec.LookPath("haproxy")
	if err != nil {
		haproxy = "/usr/sbin/haproxy" // where Debian has it, off most people's path
	}
	id := newIdentity(t)
	crt := filepath.Join(t.TempDir(), "pem")
	if err := os.WriteFile(crt, id.pem, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, hop := range []struct {
		name         string
		bind, server string // the words of HAProxy for TLS on that side
		node         credentials.TransportCredentials
		client       credentials.TransportCredentials
		toGRPCsOwn   credentials.TransportCredentials // what fails in the same place
	}{
		{"in front of a node", "ssl crt " + crt, "", insecure.NewCredentials(),
			New(&tls.Config{RootCAs: id.roots}), credentials.NewTLS(&tls.Config{RootCAs: id.roots})},
		{"in front of us", "", "ssl verify none", New(&tls.Config{Certificates: []tls.Certificate{id.pair}}), insecure.NewCredentials(), nil},
	} {
		t.Run(hop.name, func(t *testing.T) {
			node := serve(t, hop.node)
			free, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			// HAProxy inherits the listener: its port cannot be taken in between.
			file, err := free.(*net.TCPListener).File()
			if err != nil {
				t.Fatal(err)
			}
			config := filepath.Join(t.TempDir(), "cfg")
			text := fmt.Sprintf("defaults\n mode tcp\n timeout connect 10s\n timeout client 1m\n timeout server 1m\nlisten hop\n bind fd@3 %s\n server node %s %s\n",
				hop.bind, node, hop.server)
			if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			var said bytes.Buffer
			proxy := exec.CommandContext(t.Context(), haproxy, "-db", "-f", config)
			proxy.ExtraFiles, proxy.Stdout, proxy.Stderr = []*os.File{file}, &said, &said
			if err := proxy.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				_ = proxy.Process.Kill() // it keeps nothing
				_ = proxy.Wait()
				if t.Failed() {
					t.Log(said.String())
				}
				if err := file.Close(); err != nil {
					t.Error(err)
				}
				if err := free.Close(); err != nil {
					t.Error(err)
				}
			})
			if err := check(t, free.Addr().String(), hop.client); err != nil {
				t.Error(err)
			}
			if hop.toGRPCsOwn != nil {
				if err := check(t, free.Addr().String(), hop.toGRPCsOwn); err == nil || !strings.Contains(err.Error(), "ALPN") {
					t.Errorf("gRPC's own credentials: got %v: then this package is not needed any more", err)
				}
			}
		})
	}
}

// What no session could be made with is counted and logged, but not each of many.
func TestWatched_tellsOfRefusals(t *testing.T) {
	id := newIdentity(t)
	var log bytes.Buffer
	var counted atomic.Int32
	server := Watched(New(&tls.Config{Certificates: []tls.Certificate{id.pair}}), slog.New(slog.NewTextHandler(&log, nil)),
		func() { counted.Add(1) }).Clone()
	shake := func(client func(net.Conn)) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }() // it was open
		go func() {
			conn, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Error(err)
				return
			}
			client(conn)
			_ = conn.Close() // the server may have closed it
		}()
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := server.ServerHandshake(conn); err == nil {
			t.Error("a session was made")
		}
	}
	shake(func(net.Conn) {})
	if n := counted.Load(); n != 0 || log.Len() > 0 {
		t.Errorf("a balancer's check: counted %d, logged %q", n, log.String())
	}
	shake(func(c net.Conn) {
		_ = tls.Client(c, &tls.Config{RootCAs: id.roots, ServerName: "127.0.0.1", NextProtos: []string{"spdy/3"}}).Handshake()
	})
	shake(func(c net.Conn) { _, _ = c.Write([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")) })
	if n := counted.Load(); n != 2 {
		t.Errorf("%d refusals counted, want 2", n)
	}
	if text := log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "unsupported application protocols") || !strings.Contains(text, "remote=127.0.0.1:") {
		t.Errorf("the log has %q, want the first refusal with its cause", text)
	}
}

func TestRefusals_logsWhatItHeldBack(t *testing.T) {
	var log bytes.Buffer
	r := &refusals{log: slog.New(slog.NewTextHandler(&log, nil)), count: func() {}}
	from, begin := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}, time.Now()
	for _, after := range []time.Duration{0, time.Second, 2 * time.Second, logEvery} {
		r.note(from, net.ErrClosed, begin.Add(after))
	}
	if text := log.String(); strings.Count(text, "\n") != 2 || !strings.Contains(text, "more=2\n") {
		t.Errorf("got %q", text)
	}
}
