package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"

	"praefect/proxy/admin"
	"praefect/proxy/storage"
)

// reloadable is a running daemon and the text of its settings.
type reloadable struct {
	*instance
	path, text string
	pair       string // the directory of the certificate for clients
}

// newReloadable starts a daemon with two clients' listeners and one storage.
func newReloadable(t *testing.T) *reloadable {
	t.Helper()
	dir := t.TempDir()
	pair := writeCertificate(t, dir)
	return reloadableWith(t, dir, settings{
		nodes:    []string{memoryStorage(t, "gitaly-1", "secret")},
		database: databaseSettings(t),
		top:      "tls_listen_addr = \"127.0.0.1:0\"\n",
		more: fmt.Sprintf("[auth]\ntoken = \"first token\"\n[admin]\ntoken = \"first admin\"\n[tls]\ncertificate_path = %q\nkey_path = %q\n",
			pair.CertificatePath, pair.KeyPath),
	})
}

// reloadableWith starts a daemon with these settings and three listeners; pair is the directory of its
// certificate.
func reloadableWith(t *testing.T, pair string, with settings) *reloadable {
	t.Helper()
	r := &reloadable{pair: pair, path: with.write(t)}
	text, err := os.ReadFile(r.path)
	must(t, err)
	r.text = string(text)
	r.instance = serveAt(t, r.path, 3)
	r.awaitReady()
	return r
}

// reload writes the settings with pairs of words replaced, sends the signal and waits for the
// log line that ends it.
func (r *reloadable) reload(want string, oldnew ...string) {
	r.t.Helper()
	for i := 0; i < len(oldnew); i += 2 {
		if !strings.Contains(r.text, oldnew[i]) {
			r.t.Fatalf("the settings have no %q", oldnew[i])
		}
	}
	must(r.t, os.WriteFile(r.path, []byte(strings.NewReplacer(oldnew...).Replace(r.text)), 0o600))
	before := strings.Count(r.log(), want)
	r.hangup <- syscall.SIGHUP
	eventually(r.t, func() error {
		if strings.Count(r.log(), want) > before {
			return nil
		}
		return fmt.Errorf("no further line %q in the log", want)
	})
}

const (
	reloaded = `"msg":"the settings are reloaded"`
	refused  = `"msg":"the settings are refused as a whole`
)

// asks makes a call with a client's token and returns its code.
func (r *reloadable) asks(token string) codes.Code {
	r.t.Helper()
	cc, err := storage.NewClient(r.plain, token)
	must(r.t, err)
	_, err = gitalypb.NewRepositoryServiceClient(cc).RepositoryExists(r.t.Context(), &gitalypb.RepositoryExistsRequest{
		Repository: &gitalypb.Repository{StorageName: "default", RelativePath: "a.git"},
	})
	should(r.t, cc.Close())
	return grpcstatus.Code(err)
}

// changes asks for a change with an operator's token and returns its error.
func (r *reloadable) changes(token, adminToken string) error {
	r.t.Helper()
	cc, err := storage.NewClient(r.plain, token)
	must(r.t, err)
	_, err = admin.NewClient(cc).WithAdminToken(adminToken).RetryJobs(r.t.Context(), admin.RetryRequest{Change: admin.Change{RequestID: "r"}})
	return errors.Join(err, cc.Close())
}

// shown is the certificate of the listener with TLS.
func (r *reloadable) shown() *x509.Certificate {
	r.t.Helper()
	conn, err := tls.Dial("tcp", strings.TrimPrefix(r.secure, "tls://"), &tls.Config{InsecureSkipVerify: true})
	must(r.t, err)
	defer func() { should(r.t, conn.Close()) }()
	return conn.ConnectionState().PeerCertificates[0]
}

func TestReload_appliesWhatItCan(t *testing.T) {
	r := newReloadable(t)
	old := r.shown()
	writeCertificate(t, r.pair)
	_, node, _ := strings.Cut(r.text, `address = "tcp://127.0.0.1:`)
	port, _, _ := strings.Cut(node, `"`)
	r.reload(reloaded,
		`token = "first token"`, "token = \"second token\"\nprevious_token = \"first token\"",
		`token = "first admin"`, `token = "second admin"`,
		"tcp://127.0.0.1:"+port, "tcp://localhost:"+port,
		"tls_listen_addr", "drain_wait = \"1ms\"\ntls_listen_addr",
		"[raft]\n", "level = \"warn\"\n[raft]\n", // of [logging]
	)
	log := r.log()
	contains(t, log,
		`"msg":"a setting changed","pid":`,
		`"key":"auth.token","before":"[redacted]","after":"[redacted]"`,
		`"key":"auth.previous_token","before":"","after":"[redacted]"`,
		`"key":"admin.token","before":"[redacted]","after":"[redacted]"`,
		`"key":"logging.level","before":"info","after":"warn"`,
		`"key":"virtual_storage.other.node.gitaly-1.address","before":"tcp://127.0.0.1:`+port+`","after":"tcp://localhost:`+port+`"`,
		`"msg":"a changed setting takes effect at the next start only"`,
		`"key":"drain_wait","before":"0s","after":"1ms"`,
		`"msg":"the certificate for clients is replaced"`,
		`"changed":6,"at_next_start":1`,
	)
	for _, secret := range []string{"first token", "second token", "first admin", "second admin"} {
		if strings.Contains(log, secret) {
			t.Errorf("the log has the secret %q", secret)
		}
	}
	for token, want := range map[string]codes.Code{"first token": codes.OK, "second token": codes.OK, "third token": codes.PermissionDenied} {
		same(t, "with the "+token, r.asks(token), want)
	}
	if err := r.changes("second token", "first admin"); err == nil || !strings.Contains(err.Error(), "another admin token") {
		t.Errorf("with the former admin token: got %v", err)
	}
	eventually(t, func() error { return r.changes("second token", "second admin") }) // when the schema is there
	if r.shown().Equal(old) {
		t.Error("the former certificate is shown")
	}
	if _, body := get(t, r.http+"/metrics"); !strings.Contains(body, `praefect_config_reloads_total{outcome="applied"} 1`) {
		t.Error("the reload is not counted")
	}
	r.endsWell()
}

func TestReload_refusesABadFileAsAWhole(t *testing.T) {
	r := newReloadable(t)
	before := r.shown()
	otherDisk := memoryStorage(t, "gitaly-1", "secret")
	_, node, _ := strings.Cut(r.text, `address = "`)
	address, _, _ := strings.Cut(node, `"`)
	nothing := filepath.Join(t.TempDir(), "none")
	for i, row := range []struct{ what, old, now, why string }{
		{"no TOML", "[auth]", "[auth", "toml"},
		{"an unknown key of our own table", "[admin]\n", "[admin]\ncolour = 1\n", "admin.colour"},
		{"a secret that is not there", `token = "first admin"`, fmt.Sprintf("token_file = %q", nothing), nothing},
		{"a certificate that is none", filepath.Join(r.pair, "crt"), r.path, "use the certificate"},
		{"a storage that is away", address, "tcp://127.0.0.1:1", "refused"},
		{"another disk", address, otherDisk, "the disk there is"},
	} {
		r.reload(refused, row.old, row.now, `token = "first token"`, `token = "second token"`)
		log := r.log()
		line := log[strings.LastIndex(log, refused):]
		if !strings.Contains(line, row.why) {
			t.Errorf("%s: the log has %s, want it to say %q", row.what, line, row.why)
		}
		same(t, row.what+": the token of before", r.asks("first token"), codes.OK)
		same(t, row.what+": the token of the bad file", r.asks("second token"), codes.PermissionDenied)
		if _, body := get(t, r.http+"/metrics"); !strings.Contains(body, fmt.Sprintf("praefect_config_reloads_total{outcome=\"refused\"} %d\n", i+1)) ||
			!strings.Contains(body, "praefect_config_last_reload_successful 0\n") {
			t.Errorf("%s: it is not counted", row.what)
		}
	}
	if !r.shown().Equal(before) {
		t.Error("another certificate is shown")
	}
	r.reload(reloaded) // the good one again
	if log := r.log(); strings.Contains(log, `"msg":"a setting changed"`) {
		t.Error("something of a bad file was taken")
	}
	r.endsWell()
}
