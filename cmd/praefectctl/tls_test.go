package main

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// initTLS makes the files of a cluster and returns their directory.
func initTLS(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "tls [1]") // a directory that is no pattern
	got := praefectctl(t, nil, "tls", "init", "-dir", dir, "-client-name", "git.internal",
		"-instance", "praefect-1=10.0.0.1,one.internal", "-instance", "praefect-2=10.0.0.2", "-storage", "gitaly-1=10.0.0.11,fd00::11")
	if got.code != 0 || got.stderr != "" || strings.Count(got.stdout, "\n") != 5 ||
		!strings.Contains(got.stdout, filepath.Join(dir, "praefect-1", "server.crt")+"  for 10.0.0.1, one.internal, git.internal, until ") {
		t.Fatalf("got %+v", got)
	}
	return dir
}

// shows wants a pair that verifies by an authority under all of the names, and returns its leaf.
func shows(t *testing.T, dir, pair, authority string, names ...string) *x509.Certificate {
	t.Helper()
	loaded, err := tls.LoadX509KeyPair(filepath.Join(dir, pair+".crt"), filepath.Join(dir, pair+".key"))
	must(t, err)
	text, err := os.ReadFile(filepath.Join(dir, authority+".crt"))
	must(t, err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	for _, name := range names {
		for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
			if _, err := loaded.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name, KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
				t.Errorf("%s for %s: %v", pair, name, err)
			}
		}
	}
	for path, mode := range map[string]os.FileMode{pair + ".key": 0o600, authority + ".key": 0o600, pair + ".crt": 0o644} {
		info, err := os.Stat(filepath.Join(dir, path))
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: got %v, %v, want the mode %v", path, info.Mode(), err, mode)
		}
	}
	return loaded.Leaf
}

func TestTLS_initMakesAllThatAClusterShows(t *testing.T) {
	dir := initTLS(t)
	server := shows(t, dir, "praefect-1/server", "ca", "10.0.0.1", "one.internal", "git.internal")
	peer := shows(t, dir, "praefect-2/raft", "raft-ca", "praefect-2", "10.0.0.2")
	shows(t, dir, "gitaly-1/gitaly", "ca", "10.0.0.11", "fd00::11")
	if !slices.Contains(peer.DNSNames, "praefect-2") {
		t.Errorf("peers ask for the name of the instance, and it has %q", peer.DNSNames)
	}
	if left := time.Until(server.NotAfter); left < 396*24*time.Hour || left > 397*24*time.Hour {
		t.Errorf("it is valid for %v", left)
	}
	if server.Issuer.CommonName == peer.Issuer.CommonName {
		t.Error("a certificate for clients would let its owner in among instances")
	}
	// Nothing is overwritten.
	praefectctl(t, nil, "tls", "init", "-dir", dir, "-instance", "praefect-3=10.0.0.3").fails(t, exitRefused, "nothing was made") // again
}

func TestTLS_renew(t *testing.T) {
	dir := initTLS(t)
	before := shows(t, dir, "praefect-1/server", "ca", "git.internal")
	authority, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
	must(t, err)
	got := praefectctl(t, nil, "tls", "renew", "-dir", dir, "-days", "30")
	if got.code != 0 || strings.Count(got.stdout, "\n") != 5 {
		t.Fatalf("got %+v", got)
	}
	after := shows(t, dir, "praefect-1/server", "ca", "10.0.0.1", "one.internal", "git.internal")
	if after.SerialNumber.Cmp(before.SerialNumber) == 0 || after.Subject.CommonName != before.Subject.CommonName || time.Until(after.NotAfter) > 31*24*time.Hour {
		t.Errorf("got %v until %v, before %v", after.Subject, after.NotAfter, before.Subject)
	}
	if pub, ok := after.PublicKey.(interface{ Equal(x any) bool }); ok && pub.Equal(before.PublicKey) {
		t.Error("the key is the former one")
	}
	shows(t, dir, "praefect-2/raft", "raft-ca", "praefect-2")
	if now, err := os.ReadFile(filepath.Join(dir, "ca.crt")); err != nil || string(now) != string(authority) {
		t.Errorf("the authority is another one (%v)", err)
	}
}

func TestTLS_usage(t *testing.T) {
	empty := t.TempDir()
	for _, row := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"init", "-dir", empty}, exitUsage, "no instance"},
		{[]string{"init", "-dir", empty, "-instance", "praefect-1"}, exitUsage, "write NAME=HOST"},
		{[]string{"init", "-dir", empty, "-instance", "../up=10.0.0.1"}, exitUsage, "cannot be the name of a directory"},
		{[]string{"init", "-dir", empty, "-instance", "a=10.0.0.1:2305"}, exitUsage, "not the name or address of a host"},
		{[]string{"init", "-dir", empty, "-instance", "a=10.0.0.1", "-storage", "a=10.0.0.2", "-instance", "a=10.0.0.3"}, exitUsage, `the name "a"`},
		{[]string{"init", "-dir", empty, "-instance", "a=10.0.0.1", "-days", "0"}, exitUsage, "from 1 to 3650"},
		{[]string{"init", "-dir", empty, "-instance", "a=10.0.0.1", "b"}, exitUsage, "no arguments"},
		{[]string{"renew", "-dir", empty}, exitError, "none of tls init"},
	} {
		praefectctl(t, nil, append([]string{"tls"}, row.args...)...).fails(t, row.code, row.says)
	}
	if left, err := os.ReadDir(empty); err != nil || len(left) > 0 {
		t.Errorf("a refused command left %v, %v", left, err)
	}
}
