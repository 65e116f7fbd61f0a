package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"praefect/config"
)

// expiresSoon is how long before its end a certificate is worth a warning.
const expiresSoon = 14 * 24 * time.Hour

// ownCertificate is a certificate that this instance shows to others.
type ownCertificate struct {
	key  string // of the settings
	pair config.TLS
	// name is the name for which others verify it; empty if that is not known.
	name string
	// authority is the file with the authorities that others trust; empty if that is not known.
	authority string
}

// ownCertificates are the certificates of the settings. Clients reach an instance under the
// name of a balancer as a rule, which the settings do not tell; its peers, where
// they pass reads on, under its own.
func ownCertificates(cfg *config.Config) []ownCertificate {
	var list []ownCertificate
	if cfg.TLSListenAddr != "" {
		c := ownCertificate{key: "tls.certificate_path", pair: cfg.TLS}
		if rest, ok := strings.CutPrefix(clientAddress(cfg), "tls://"); ok && len(cfg.Raft.Others()) > 0 {
			if host, _, err := net.SplitHostPort(rest); err == nil {
				c.name = host
			}
		}
		list = append(list, c)
	}
	if cfg.Console.ListenAddr != "" && cfg.Console.Secure() {
		list = append(list, ownCertificate{key: "console.certificate_path", pair: cfg.Console.TLS()})
	}
	if r := cfg.Raft; r.CertificatePath != "" {
		list = append(list, ownCertificate{
			key: "raft.certificate_path", pair: config.TLS{CertificatePath: r.CertificatePath, KeyPath: r.KeyPath}, name: r.Name, authority: r.CAPath,
		})
	}
	return list
}

// unusable says which certificates others refuse at the time, and why.
func unusable(list []ownCertificate, now time.Time) error {
	var faults []error
	for _, own := range list {
		if err := own.judge(now); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", own.key, err))
		}
	}
	return errors.Join(faults...)
}

func (own ownCertificate) judge(now time.Time) error {
	pair, err := readPair(own.pair)
	if err != nil {
		return err
	}
	c := pair.Leaf
	switch {
	case now.After(c.NotAfter):
		return fmt.Errorf("%q expired at %s: replace it", own.pair.CertificatePath, c.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(c.NotBefore):
		return fmt.Errorf("%q is valid from %s on only: is the clock right?", own.pair.CertificatePath, c.NotBefore.UTC().Format(time.RFC3339))
	case len(c.DNSNames) == 0 && len(c.IPAddresses) == 0:
		return fmt.Errorf("%q has no subject alternative names, without which clients refuse it: write the names by which they reach this instance into it",
			own.pair.CertificatePath)
	}
	if own.name != "" && c.VerifyHostname(own.name) != nil {
		return fmt.Errorf("%q is for %s, and others expect %q: write that name into it", own.pair.CertificatePath, strings.Join(names(c), ", "), own.name)
	}
	if own.authority == "" {
		return nil
	}
	return own.vouched(pair.Certificate, c, now)
}

// vouched verifies the chain as other instances do.
func (own ownCertificate) vouched(chain [][]byte, c *x509.Certificate, now time.Time) error {
	text, err := os.ReadFile(own.authority)
	if err != nil {
		return fmt.Errorf("read the authority: %w", err)
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return fmt.Errorf("%q holds no certificate of an authority", own.authority)
	}
	for _, der := range chain[1:] {
		intermediate, err := x509.ParseCertificate(der)
		if err != nil {
			return fmt.Errorf("read an intermediate of %q: %w", own.pair.CertificatePath, err)
		}
		between.AddCert(intermediate)
	}
	_, err = c.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return fmt.Errorf("%q is not vouched for by %q: %w", own.pair.CertificatePath, own.authority, err)
	}
	return nil
}

// names are the names that a certificate is for.
func names(c *x509.Certificate) []string {
	list := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		list = append(list, ip.String())
	}
	return list
}

// expiring says which certificates end soon. One that cannot be used is not its
// business.
func expiring(list []ownCertificate, now time.Time) error {
	var faults []error
	for _, own := range list {
		pair, err := readPair(own.pair)
		if err != nil {
			continue
		}
		if left := pair.Leaf.NotAfter.Sub(now); left > 0 && left < expiresSoon {
			faults = append(faults, fmt.Errorf("%s: %q expires in %d days, at %s: replace it and send SIGHUP", own.key, own.pair.CertificatePath,
				int(left/(24*time.Hour)), pair.Leaf.NotAfter.UTC().Format(time.RFC3339)))
		}
	}
	return errors.Join(faults...)
}
