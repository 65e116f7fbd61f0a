package main

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"strings"
	"testing"

	"praefect/config"
)

// browser is a client of the console of an instance.
type browser struct {
	t    *testing.T
	http *http.Client
	url  string
	csrf string
}

func newBrowser(t *testing.T, i *instance) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	must(t, err)
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}
	return &browser{t: t, http: &http.Client{Jar: jar, Transport: transport}, url: "https://" + i.console}
}

// send makes a request with a document, and returns its status and answer.
func (b *browser) send(method, path string, document any) (int, string) {
	b.t.Helper()
	body, err := json.Marshal(document)
	must(b.t, err)
	r, err := http.NewRequestWithContext(b.t.Context(), method, b.url+path, bytes.NewReader(body))
	must(b.t, err)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Praefect-Csrf", b.csrf)
	response, err := b.http.Do(r)
	must(b.t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	must(b.t, err)
	return response.StatusCode, string(text)
}

// signIn shows a token and returns the status.
func (b *browser) signIn(token string) int {
	b.t.Helper()
	code, text := b.send(http.MethodPost, "/api/login", map[string]string{"token": token})
	var id struct{ CSRF string }
	must(b.t, json.Unmarshal([]byte(text), &id))
	b.csrf = id.CSRF
	return code
}

// TestConsole_ofADaemon serves the console with TLS, reads and changes through it, and replaces
// tokens and certificate while it runs.
func TestConsole_ofADaemon(t *testing.T) {
	dir := t.TempDir()
	pair := writeCertificate(t, dir)
	r := reloadableWith(t, dir, settings{
		nodes: []string{memoryStorage(t, "gitaly-1", "secret")},
		more: fmt.Sprintf("[auth]\ntoken = \"first token\"\n[admin]\ntoken = \"first admin\"\n[console]\nlisten_addr = \"127.0.0.1:0\"\ncertificate_path = %q\nkey_path = %q\n",
			pair.CertificatePath, pair.KeyPath),
	})

	reader, operator := newBrowser(t, r.instance), newBrowser(t, r.instance)
	if code, _ := reader.send(http.MethodGet, "/", nil); code != http.StatusOK {
		t.Fatalf("the page: status %d", code)
	}
	for token, want := range map[string]int{"": http.StatusUnauthorized, "secret": http.StatusUnauthorized} {
		if code := reader.signIn(token); code != want {
			t.Errorf("token %q: status %d", token, code)
		}
	}
	if code := reader.signIn("first token"); code != http.StatusOK {
		t.Fatalf("the client token: status %d", code)
	}
	if code := operator.signIn("first admin"); code != http.StatusOK {
		t.Fatalf("the admin token: status %d", code)
	}
	if code, text := reader.send(http.MethodGet, "/api/explain?virtual_storage=default&relative_path=a.git", nil); code != http.StatusOK || !strings.Contains(text, "gitaly-1") {
		t.Errorf("explain: status %d, %s", code, text)
	}
	pause := map[string]any{"verb": "pause", "virtual_storage": "default", "request_id": "r"}
	if code, text := reader.send(http.MethodPost, "/api/act", pause); code != http.StatusForbidden {
		t.Errorf("a change by a reader: status %d, %s", code, text)
	}
	if code, text := operator.send(http.MethodPost, "/api/act", pause); code != http.StatusOK || !strings.Contains(text, "automatic failover of default is paused") {
		t.Errorf("a change by an operator: status %d, %s", code, text)
	}

	writeCertificate(t, dir)
	r.reload(`"msg":"the certificate of the console is replaced"`, "first token", "second token")
	if code, _ := reader.send(http.MethodGet, "/api/session", nil); code != http.StatusUnauthorized {
		t.Errorf("the session of a replaced token: status %d", code)
	}
	if code := reader.signIn("second token"); code != http.StatusOK {
		t.Errorf("the new token: status %d", code)
	}
	if code, _ := operator.send(http.MethodGet, "/api/session", nil); code != http.StatusOK {
		t.Errorf("the session of a token that stays: status %d", code)
	}
	if code := r.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestConsoleTokens: without an admin token the secret of the data directory opens the changes.
func TestConsoleTokens(t *testing.T) {
	dir := t.TempDir()
	cfg := &config.Config{Auth: config.Auth{Token: "client", PreviousToken: "former"}, Raft: config.Raft{DataDir: dir}}
	if got := consoleTokens(cfg); got.Act != "" || len(got.Read) != 2 || got.Read[0] != "client" || got.Read[1] != "former" {
		t.Errorf("got %+v", got)
	}
	allowed, err := access(cfg)
	must(t, err)
	if got := consoleTokens(cfg).Act; got == "" || got != allowed.Local {
		t.Errorf("the secret is %q, want that of the data directory", got)
	}
	cfg.Admin.Token = "admin"
	same(t, "the secret", consoleTokens(cfg).Act, "admin")
}
