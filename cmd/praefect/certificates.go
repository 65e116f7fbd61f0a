package main

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"sync"
	"time"

	"praefect/config"
	"praefect/fsm/condition"
)

// certificateAge is how long ago a certificate may have been read.
const certificateAge = time.Minute

// certificates knows when the certificates in the settings expire. They may be replaced while the
// instance runs, so that the files are read again.
type certificates struct {
	files []certificateFile

	mu   sync.Mutex
	read time.Time // guarded by mu
	ends []expiry  // guarded by mu; of the files
}

type certificateFile struct{ key, path string }

type expiry struct {
	at      time.Time
	problem string
}

func newCertificates(cfg *config.Config) *certificates {
	c := &certificates{}
	for _, f := range []certificateFile{
		{"tls.certificate_path", cfg.TLS.CertificatePath}, {"raft.certificate_path", cfg.Raft.CertificatePath}, {"raft.ca_path", cfg.Raft.CAPath},
		{"console.certificate_path", cfg.Console.CertificatePath},
	} {
		if f.path != "" {
			c.files = append(c.files, f)
		}
	}
	return c
}

// left tells how long each certificate is valid.
func (c *certificates) left(now time.Time) []condition.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ends == nil || now.Sub(c.read) >= certificateAge {
		c.read, c.ends = now, make([]expiry, len(c.files))
		for i, f := range c.files {
			c.ends[i] = expiryOf(f.path)
		}
	}
	var list []condition.Certificate
	for i, f := range c.files {
		list = append(list, condition.Certificate{Key: f.key, Path: f.path, Left: c.ends[i].at.Sub(now), Problem: c.ends[i].problem})
	}
	return list
}

// expiryOf reads when the first certificate of a PEM file to expire does so.
func expiryOf(path string) expiry {
	text, err := os.ReadFile(path)
	if err != nil {
		return expiry{problem: err.Error()}
	}
	var first expiry
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return expiry{problem: err.Error()}
		}
		if first.at.IsZero() || certificate.NotAfter.Before(first.at) {
			first.at = certificate.NotAfter
		}
	}
	if first.at.IsZero() {
		return expiry{problem: errNoCertificate.Error()}
	}
	return first
}

var errNoCertificate = errors.New("the file has no certificate")
