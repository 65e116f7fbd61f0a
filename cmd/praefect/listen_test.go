package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"praefect/config"
)

// writeCertificate writes a certificate for 127.0.0.1 and its key.
func writeCertificate(t *testing.T, dir string) config.TLS {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	must(t, err)
	key, err := x509.MarshalPKCS8PrivateKey(private)
	must(t, err)
	cfg := config.TLS{CertificatePath: filepath.Join(dir, "crt"), KeyPath: filepath.Join(dir, "key")}
	for path, block := range map[string]*pem.Block{
		cfg.CertificatePath: {Type: "CERTIFICATE", Bytes: der},
		cfg.KeyPath:         {Type: "PRIVATE KEY", Bytes: key},
	} {
		must(t, os.WriteFile(path, pem.EncodeToMemory(block), 0o600))
	}
	return cfg
}

func TestListenForClients(t *testing.T) {
	dir := t.TempDir()
	cfg := &config.Config{
		ListenAddr: "127.0.0.1:0", TLSListenAddr: "127.0.0.1:0", SocketPath: filepath.Join(dir, "socket"), TLS: writeCertificate(t, dir),
	}
	open, err := listenForClients(t.Context(), cfg)
	must(t, err)
	var kinds []string
	for _, l := range open {
		kinds = append(kinds, l.kind)
		if (l.credentials != nil) != (l.kind == "tls") {
			t.Errorf("%s: credentials are %v", l.kind, l.credentials)
		}
	}
	same(t, "listeners", strings.Join(kinds, " "), "tcp tls unix")

	// Another process that wants the same gets none, and leaves the first its.
	cfg.ListenAddr = open[0].Addr().String()
	if _, err := listenForClients(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), cfg.ListenAddr) {
		t.Errorf("a port in use: got %v", err)
	}
	cfg.ListenAddr = ""
	if _, err := listenForClients(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), cfg.SocketPath) {
		t.Errorf("a socket in use: got %v", err)
	}
	for _, l := range open {
		if unix, ok := l.Listener.(*net.UnixListener); ok {
			unix.SetUnlinkOnClose(false) // as a process that is killed leaves it
		}
		should(t, l.Close())
	}
	again, err := listenForClients(t.Context(), cfg)
	if err != nil {
		t.Fatalf("a stale socket: %v", err)
	}
	for _, l := range again {
		should(t, l.Close())
	}
}

func TestListenForClients_refuses(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	must(t, os.WriteFile(file, nil, 0o600))
	for _, row := range []struct {
		name string
		cfg  config.Config
		want string
	}{
		{"a file that is no socket", config.Config{SocketPath: file}, "not a socket"},
		{"no certificate", config.Config{TLSListenAddr: "127.0.0.1:0", TLS: config.TLS{CertificatePath: "/none"}}, "/none"},
		{"no certificate in it", config.Config{TLSListenAddr: "127.0.0.1:0", TLS: config.TLS{CertificatePath: file, KeyPath: file}}, file},
	} {
		if _, err := listenForClients(t.Context(), &row.cfg); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: got %v", row.name, err)
		}
	}
	if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) {
		t.Error("the file is gone")
	}
}
