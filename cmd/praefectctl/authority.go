package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// authorityLife is how long the certificate of an authority is valid. To replace
// one takes three rounds through all its users.
const authorityLife = 10 * 365 * 24 * time.Hour

// clockSkew is how far ahead the clock of the machine that signs may be.
const clockSkew = time.Hour

// authority signs certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// newAuthority makes an authority and writes its files.
func newAuthority(at pairPath, name string, now time.Time) (*authority, error) {
	return at.sign(fmt.Sprintf("%q", name), &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-clockSkew), NotAfter: now.Add(authorityLife),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
	}, nil)
}

// readAuthority reads the files of one that exists.
func readAuthority(at pairPath) (*authority, error) {
	certificate, err := readCertificate(at.certificate())
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(at.key())
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%q holds no key", at.key())
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read the key in %q: %w", at.key(), err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || !key.PublicKey.Equal(certificate.PublicKey) {
		return nil, fmt.Errorf("%q is not the key of %q", at.key(), at.certificate())
	}
	return &authority{certificate, key}, nil
}

// issue makes a certificate for the names, which may be addresses, with a new key, and writes both. It shows its owner to
// either side: instances are each other's clients.
func (a *authority) issue(at pairPath, names []string, life time.Duration, now time.Time) (*x509.Certificate, error) {
	end := now.Add(life)
	if end.After(a.certificate.NotAfter) {
		end = a.certificate.NotAfter // a certificate that outlives its authority is of no use
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: names[0]}, NotBefore: now.Add(-clockSkew), NotAfter: end,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	issued, err := at.sign(fmt.Sprintf("a certificate for %q", names), template, a)
	if err != nil {
		return nil, err
	}
	return issued.certificate, nil
}

// pairPath is the path of a certificate and its key, without their endings.
type pairPath string

func (p pairPath) certificate() string { return string(p) + ".crt" }
func (p pairPath) key() string         { return string(p) + ".key" }

// sign makes a certificate as the template says, with a new key, and writes both. Without a signer the key
// signs itself.
func (p pairPath) sign(what string, template *x509.Certificate, by *authority) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		return nil, fmt.Errorf("draw a serial number: %w", err)
	}
	if by == nil {
		by = &authority{template, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by.certificate, key.Public(), by.key)
	if err != nil {
		return nil, fmt.Errorf("sign %s: %w", what, err)
	}
	if err := p.write(der, key); err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("read %s again: %w", what, err)
	}
	return &authority{certificate, key}, nil
}

// exists tells whether either file is there.
func (p pairPath) exists() (bool, error) {
	for _, path := range []string{p.certificate(), p.key()} {
		_, err := os.Lstat(path)
		if !errors.Is(err, fs.ErrNotExist) {
			return err == nil, err
		}
	}
	return false, nil
}

// write writes both files, each in the place of the one before at once: a process that reads them
// at the wrong moment may get a pair that does not match, and never half a file.
func (p pairPath) write(certificate []byte, key *ecdsa.PrivateKey) error {
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encode a key: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(string(p)), 0o755); err != nil {
		return err
	}
	if err := replaceFile(p.key(), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600); err != nil {
		return err
	}
	return replaceFile(p.certificate(), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}), 0o644)
}

func replaceFile(path string, content []byte, mode fs.FileMode) (err error) {
	file, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(file.Name()))
		}
	}()
	_, err = file.Write(content)
	if err := errors.Join(err, file.Chmod(mode), file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("write %q: %w", path, err)
	}
	return os.Rename(file.Name(), path)
}

func readCertificate(path string) (*x509.Certificate, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("%q holds no certificate", path)
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read %q: %w", path, err)
	}
	return certificate, nil
}
