package peer

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// Credentials are the proofs that an instance shows to others, and wants to be
// shown: the three files, or the secret.
type Credentials struct {
	// CertificatePath, KeyPath and CAPath are PEM files. They are read at each
	// connection, so that they can be replaced while the instance runs.
	CertificatePath, KeyPath, CAPath string
	// Secret is shared by all instances. FormerSecret, if there is one, counts as much:
	// while a secret is replaced, not every instance has the new one.
	Secret, FormerSecret string
}

// guard turns plain connections into ones between peers.
type guard struct {
	credentials Credentials // but for the secrets
	secrets     atomic.Pointer[secrets]
	madeUp      tls.Certificate // with a secret
}

// secrets are the present one and, or "", the former one.
type secrets struct{ present, former string }

// SetSecrets replaces the secrets that this instance shows and accepts, from the next
// connection on. With certificates it does nothing.
func (t *Transport) SetSecrets(present, former string) {
	t.guard.secrets.Store(&secrets{present, former})
}

func newGuard(c Credentials) (*guard, error) {
	g := &guard{credentials: c}
	g.secrets.Store(&secrets{c.Secret, c.FormerSecret})
	if c.CertificatePath != "" {
		_, err := g.certificate()
		if err == nil {
			_, err = g.authority()
		}
		return g, err
	}
	if c.Secret == "" {
		return nil, errors.New("neither certificates nor a secret to show to peers")
	}
	var err error
	g.madeUp, err = makeUp()
	return g, err
}

// makeUp returns a certificate that says nothing: TLS wants one.
func makeUp() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make a key: %w", err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make a certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

func (g *guard) certificate() (*tls.Certificate, error) {
	if g.credentials.CertificatePath == "" {
		return &g.madeUp, nil
	}
	c, err := tls.LoadX509KeyPair(g.credentials.CertificatePath, g.credentials.KeyPath)
	if err != nil {
		return nil, fmt.Errorf("certificate %q: %w", g.credentials.CertificatePath, err)
	}
	return &c, nil
}

func (g *guard) authority() (*x509.CertPool, error) {
	text, err := os.ReadFile(g.credentials.CAPath)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%q holds no certificate", g.credentials.CAPath)
	}
	return pool, nil
}

// tls returns the settings of either side. Whether the certificate of the other
// one is good is judged by verify, the same way on both sides.
func (g *guard) tls() *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		GetCertificate:         func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return g.certificate() },
		GetClientCertificate:   func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return g.certificate() },
		ClientAuth:             tls.RequireAnyClientCert,
		InsecureSkipVerify:     true, // verify does it, on both sides
		VerifyConnection:       g.verify,
		SessionTicketsDisabled: true,
	}
}

// verify judges the certificate of the other side; with a secret nothing hangs
// on it.
func (g *guard) verify(state tls.ConnectionState) error {
	if g.credentials.CertificatePath == "" {
		return nil
	}
	roots, err := g.authority()
	if err != nil {
		return err
	}
	between := x509.NewCertPool()
	for _, c := range state.PeerCertificates[1:] {
		between.AddCert(c)
	}
	_, err = state.PeerCertificates[0].Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	return err
}

// side tells the two ends of a connection apart, so that the proof of one is
// none of the other.
type side string

const (
	dialler  side = "dialler"
	acceptor side = "acceptor"
)

// proofs show that one side of a connection knows its secrets. Either will do: the
// other side may have only the new secret yet, or only the former one.
type proofs struct {
	Proof  []byte `json:"proof,omitempty"`
	Former []byte `json:"former_proof,omitempty"`
}

// prove returns the proof that this side, which calls itself name, knows the
// secrets; nothing with certificates.
func (g *guard) prove(s side, state tls.ConnectionState, name string) (p proofs, err error) {
	if g.credentials.CertificatePath != "" {
		return p, nil
	}
	binding, err := state.ExportKeyingMaterial("EXPORTER-praefect-peer", nil, sha256.Size)
	if err != nil {
		return p, fmt.Errorf("derive a proof from the connection: %w", err)
	}
	with := func(secret string) []byte {
		if secret == "" {
			return nil
		}
		code := hmac.New(sha256.New, []byte(secret))
		for _, part := range []string{string(s), name, string(binding)} {
			fmt.Fprintf(code, "%d:%s", len(part), part) // a hash returns no error
		}
		return code.Sum(nil)
	}
	known := g.secrets.Load()
	return proofs{Proof: with(known.present), Former: with(known.former)}, nil
}

// meet tells whether the two sides know a secret in common. How long it takes does not
// depend on the content of a proof.
func (p proofs) meet(other proofs) bool {
	met := false
	for _, own := range [][]byte{p.Proof, p.Former} {
		for _, shown := range [][]byte{other.Proof, other.Former} {
			met = len(own) > 0 && hmac.Equal(own, shown) || met
		}
	}
	return met
}

// check judges whether the other side has proved its name.
func (g *guard) check(s side, state tls.ConnectionState, name string, shown proofs) error {
	if g.credentials.CertificatePath != "" {
		names := state.PeerCertificates[0].DNSNames
		if !slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) }) {
			return fmt.Errorf("the certificate of %q is for %q", name, names)
		}
		return nil
	}
	want, err := g.prove(s, state, name)
	if err != nil {
		return err
	}
	if !want.meet(shown) {
		return fmt.Errorf("%q does not know the secret (raft.secret_file)", name)
	}
	return nil
}
