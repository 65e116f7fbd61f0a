package main

import (
	"strings"
	"testing"
	"time"

	"praefect/config"
	"praefect/proxy/check"
)

func TestUnusable_judgesOwnCertificates(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	pair, other := writeCertificate(t, dir), writeCertificate(t, elsewhere) // for 127.0.0.1, an hour long
	mixed := config.TLS{CertificatePath: pair.CertificatePath, KeyPath: other.KeyPath}
	now := time.Now()
	for _, row := range []struct {
		name string
		own  ownCertificate
		at   time.Time
		want string // empty if it can be used
	}{
		{"all is well", ownCertificate{pair: pair, name: "127.0.0.1"}, now, ""},
		{"its name is not known", ownCertificate{pair: pair}, now, ""},
		{"another name", ownCertificate{pair: pair, name: "praefect-1"}, now, `is for 127.0.0.1, and others expect "praefect-1"`},
		{"another key", ownCertificate{pair: mixed}, now, "private key does not match"},
		{"no file", ownCertificate{pair: config.TLS{CertificatePath: "/none", KeyPath: "/none"}}, now, "/none"},
		{"expired", ownCertificate{pair: pair}, now.Add(2 * time.Hour), "expired at"},
		{"an authority that signed it", ownCertificate{pair: pair, authority: pair.CertificatePath}, now, ""},
		{"an authority that did not", ownCertificate{pair: pair, authority: other.CertificatePath}, now, "not vouched for"},
		{"no authority in the file", ownCertificate{pair: pair, authority: pair.KeyPath}, now, "no certificate of an authority"},
	} {
		t.Run(row.name, func(t *testing.T) {
			row.own.key = "tls.certificate_path"
			err := unusable([]ownCertificate{row.own}, row.at)
			if row.want == "" && err != nil || row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want) || !strings.HasPrefix(err.Error(), "tls.certificate_path: ")) {
				t.Errorf("got %v, want %q", err, row.want)
			}
		})
	}
	if err := expiring([]ownCertificate{{key: "k", pair: pair}, {key: "j", pair: mixed}}, now); err == nil || !strings.Contains(err.Error(), "k: ") ||
		!strings.Contains(err.Error(), "expires in 0 days") || strings.Contains(err.Error(), "j: ") {
		t.Errorf("about to expire: got %v", err)
	}
	for _, at := range []time.Time{now.Add(-15 * 24 * time.Hour), now.Add(2 * time.Hour)} {
		if err := expiring([]ownCertificate{{pair: pair}}, at); err != nil {
			t.Errorf("at %v: got %v", at, err)
		}
	}
}

func TestOwnCertificates_ofTheSettings(t *testing.T) {
	raft := config.Raft{
		Name: "praefect-1", CertificatePath: "c", KeyPath: "k", CAPath: "a", ListenAddr: ":2307",
		Peers: []config.Peer{{Name: "praefect-1", Addr: "one.internal:2307"}, {Name: "praefect-2", Addr: "two.internal:2307"}},
	}
	for _, row := range []struct {
		name string
		cfg  config.Config
		want []string // key and name
	}{
		{"none", config.Config{ListenAddr: ":2305"}, nil},
		{"for clients of an instance alone", config.Config{TLSListenAddr: ":3305"}, []string{"tls.certificate_path "}},
		{"for peers that pass reads on", config.Config{TLSListenAddr: ":3305", Raft: raft},
			[]string{"tls.certificate_path one.internal", "raft.certificate_path praefect-1"}},
		{"peers pass reads on without TLS", config.Config{ListenAddr: ":2305", TLSListenAddr: ":3305", Raft: raft},
			[]string{"tls.certificate_path ", "raft.certificate_path praefect-1"}},
	} {
		var got []string
		for _, own := range ownCertificates(&row.cfg) {
			got = append(got, own.key+" "+own.name)
		}
		if strings.Join(got, "\n") != strings.Join(row.want, "\n") {
			t.Errorf("%s: got %q, want %q", row.name, got, row.want)
		}
	}
	with := checks(func() *config.Config { return &config.Config{TLSListenAddr: ":3305"} }, nil, nil)
	without := checks(func() *config.Config { return &config.Config{} }, nil, nil)
	if len(with) != len(without)+2 || with[len(with)-2].Severity != check.Fatal || with[len(with)-1].Severity != check.Warning {
		t.Errorf("got %d checks with a certificate and %d without", len(with), len(without))
	}
}
