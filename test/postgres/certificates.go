package postgres

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Certificates are the paths of the files that a client of a TLS server needs.
type Certificates struct {
	CA        string
	Client    string
	ClientKey string
}

// Certificates are the client's files of a server launched with Options.TLS.
func (s *Server) Certificates() Certificates {
	at := func(name string) string { return filepath.Join(s.dir, "client", name) }
	return Certificates{CA: at("ca.pem"), Client: at("client.pem"), ClientKey: at("client.key")}
}

// secure makes an authority, a certificate of the server and one of the role, and admits no client
// over TCP without it.
func (s *Server) secure() error {
	files := s.Certificates()
	if err := os.MkdirAll(filepath.Dir(files.CA), 0o700); err != nil {
		return fmt.Errorf("make the directory of the client's certificates: %w", err)
	}
	if err := s.programs.own(filepath.Dir(files.CA)); err != nil {
		return err
	}
	ca, err := newPair(pkix.Name{CommonName: "test authority"}, nil)
	if err != nil {
		return err
	}
	server, err := newPair(pkix.Name{CommonName: "test postgres"}, ca)
	if err != nil {
		return err
	}
	client, err := newPair(pkix.Name{CommonName: role}, ca)
	if err != nil {
		return err
	}
	admission := "local all all scram-sha-256\nhostssl all all 127.0.0.1/32 cert clientcert=verify-full\n"
	inData := func(name string) string { return filepath.Join(s.data(), name) }
	for path, content := range map[string][]byte{
		files.CA:              ca.certificate,
		files.Client:          client.certificate,
		files.ClientKey:       client.key,
		inData("ca.pem"):      ca.certificate,
		inData("server.pem"):  server.certificate,
		inData("server.key"):  server.key,
		inData("pg_hba.conf"): []byte(admission),
	} {
		if err := s.programs.writeFile(path, content); err != nil {
			return err
		}
	}
	return nil
}

// tlsSettings point the server to the files of secure, which lie in its data directory.
func (s *Server) tlsSettings() map[string]string {
	return map[string]string{"ssl": "on", "ssl_ca_file": "ca.pem", "ssl_cert_file": "server.pem", "ssl_key_file": "server.key"}
}

// pair is a certificate with its key, as PEM and as the signer of others.
type pair struct {
	certificate, key []byte
	parsed           *x509.Certificate
	signer           *ecdsa.PrivateKey
}

// newPair makes a certificate for the loopback address, signed by the authority, or one that signs itself.
func newPair(name pkix.Name, authority *pair) (*pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key for %q: %w", name.CommonName, err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("make a serial number for %q: %w", name.CommonName, err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: name,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		BasicConstraintsValid: true,
	}
	parent, signer := template, key
	if authority != nil {
		parent, signer = authority.parsed, authority.signer
	} else {
		template.IsCA = true
		template.KeyUsage |= x509.KeyUsageCertSign
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return nil, fmt.Errorf("sign the certificate of %q: %w", name.CommonName, err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("parse the certificate of %q: %w", name.CommonName, err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode the key of %q: %w", name.CommonName, err)
	}
	return &pair{
		certificate: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		key:         pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}),
		parsed:      parsed, signer: key,
	}, nil
}
