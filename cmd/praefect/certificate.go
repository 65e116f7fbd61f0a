package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"sync/atomic"

	"google.golang.org/grpc/credentials"

	"praefect/config"
	"praefect/proxy/secure"
)

// certificate is the certificate that the listener with TLS shows to clients. A reload replaces
// it; connections that exist keep the one that they began with.
type certificate struct{ settings atomic.Pointer[tls.Config] }

func newCertificate(cfg config.TLS) (*certificate, error) {
	settings, err := readCertificate(cfg)
	if err != nil {
		return nil, err
	}
	c := &certificate{}
	c.settings.Store(settings)
	return c, nil
}

func (c *certificate) credentials() credentials.TransportCredentials {
	return secure.NewServer(c.settings.Load)
}

// readCertificate reads the certificate for clients with its key.
func readCertificate(cfg config.TLS) (*tls.Config, error) {
	pair, err := readPair(cfg)
	if err != nil {
		return nil, err
	}
	return secure.Settings(&tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: cfg.MinVersionID()}), nil
}

func readPair(cfg config.TLS) (tls.Certificate, error) {
	key := []byte(cfg.Key.Reveal())
	text, err := os.ReadFile(cfg.CertificatePath)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("read the certificate: %w", err)
	}
	if cfg.KeyPath != "" {
		if key, err = os.ReadFile(cfg.KeyPath); err != nil {
			return tls.Certificate{}, fmt.Errorf("read the certificate's key: %w", err)
		}
	}
	pair, err := tls.X509KeyPair(text, key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("use the certificate %q: %w", cfg.CertificatePath, err)
	}
	return pair, nil
}

// leaf is the certificate itself, without the ones that vouch for it.
func leaf(settings *tls.Config) *x509.Certificate { return settings.Certificates[0].Leaf }

// readPeerCertificates reads the files that instances show each other, which are
// read again at each connection; nil if there are none.
func readPeerCertificates(r config.Raft) (*x509.Certificate, error) {
	if r.CertificatePath == "" {
		return nil, nil
	}
	pair, err := readPair(config.TLS{CertificatePath: r.CertificatePath, KeyPath: r.KeyPath})
	if err != nil {
		return nil, fmt.Errorf("for other instances: %w", err)
	}
	text, err := os.ReadFile(r.CAPath)
	if err != nil {
		return nil, fmt.Errorf("read the authority of other instances: %w", err)
	}
	if !x509.NewCertPool().AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("read the authority of other instances: %q holds no certificate", r.CAPath)
	}
	return pair.Leaf, nil
}
