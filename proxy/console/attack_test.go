package console_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"praefect/proxy/console"
)

// readPaths and changePaths are all paths of the console that tell or change something.
var (
	readPaths   = []string{"/api/session", "/api/stream", "/api/repositories", "/api/explain?relative_path=a.git", "/api/queue", "/api/history"}
	changePaths = []string{"/api/plan", "/api/act", "/api/logout"}
)

func TestAttack_nothingIsReadWithoutAToken(t *testing.T) {
	w := begin(t)
	w.WrittenOnlyTo("secret/project.git", "gitaly-1")
	for name, u := range map[string]*user{"a stranger": w.user(), "a wrong cookie": w.forged("ABCDEF")} {
		for _, path := range readPaths {
			code, text, _ := u.ask(http.MethodGet, path, nil, nil)
			if code != http.StatusUnauthorized || bytes.Contains(text, []byte("gitaly")) {
				t.Errorf("%s: GET %s: status %d: %s", name, path, code, text)
			}
		}
		for _, path := range changePaths {
			w.status(u.post(path, map[string]string{"verb": "promote", "storage": "gitaly-2"}, nil), http.StatusUnauthorized, "%s: POST %s", name, path)
		}
	}
	w.unchanged()
}

// forged is a user with a cookie that no login gave.
func (w *fixture) forged(value string) *user {
	u := w.signedIn(readToken)
	request, err := http.NewRequest(http.MethodGet, w.url, nil)
	must(w.t, err)
	cookies := u.http.Jar.Cookies(request.URL)
	for _, c := range cookies {
		c.Value = value
	}
	u.http.Jar.SetCookies(request.URL, cookies)
	return u
}

func TestAttack_theClientTokenChangesNothing(t *testing.T) {
	w := begin(t)
	u := w.signedIn(readToken)
	for _, verb := range []string{"promote", "drain", "undrain", "refill", "pause", "resume", "queue-retry", "queue-drop", "transfer", "accept-dataloss", "verify", "verify-all", "reconcile"} {
		order := map[string]any{
			"verb": verb, "storage": "gitaly-2", "virtual_storage": "default", "relative_path": "a.git", "request_id": "1", "confirm": "gitaly-2",
		}
		var f fault
		if code := u.post("/api/act", order, &f); code != http.StatusForbidden || f.Kind != "DENIED" {
			t.Errorf("%s: status %d, %+v", verb, code, f)
		}
		delete(order, "request_id")
		if code := u.post("/api/plan", order, &f); code != http.StatusForbidden || !strings.HasPrefix(f.Message, "praefectctl ") {
			t.Errorf("plan of %s: status %d, %+v, want the line of praefectctl", verb, code, f)
		}
	}
	if len(w.Asked()) != 0 || len(w.Switched()) != 0 {
		t.Errorf("the cluster was asked for changes: %v %v", w.Asked(), w.Switched())
	}
}

func TestAttack_tokens(t *testing.T) {
	w := begin(t)
	w.tokens.Store(&console.Tokens{Read: []string{readToken, ""}}) // an instance without admin token
	for name, token := range map[string]string{"empty": "", "white space": "  ", "wrong": "guess", "a prefix": readToken[:3], "the admin token of others": actToken} {
		w.status(w.user().post("/api/login", map[string]string{"token": token}, nil), http.StatusUnauthorized, "%s", name)
	}
}

func TestAttack_guesses(t *testing.T) {
	w := begin(t)
	u := w.user()
	codes := map[int]int{}
	for i := range 30 {
		codes[u.post("/api/login", map[string]string{"token": fmt.Sprint("guess ", i)}, nil)]++
	}
	if codes[http.StatusUnauthorized] != 10 || codes[http.StatusTooManyRequests] != 20 {
		t.Errorf("answers by status: %v, want 10 refused and 20 told to wait", codes)
	}
	code, _, header := u.ask(http.MethodPost, "/api/login", []byte(`{}`), map[string]string{"Content-Type": "application/json"})
	if code != http.StatusTooManyRequests || header.Get("Retry-After") == "" {
		t.Errorf("status %d, Retry-After %q", code, header.Get("Retry-After"))
	}
}

func TestAttack_otherSites(t *testing.T) {
	w := begin(t)
	u := w.signedIn(actToken)
	order := []byte(`{"verb":"pause","request_id":"1"}`)
	good := map[string]string{"Content-Type": "application/json", "X-Praefect-Csrf": u.csrf}
	with := func(key, value string) map[string]string {
		h := map[string]string{key: value}
		for k, v := range good {
			if k != key {
				h[k] = v
			}
		}
		return h
	}
	for _, row := range []struct {
		name   string
		header map[string]string
		code   int
	}{
		{"without the secret of the session", map[string]string{"Content-Type": "application/json"}, http.StatusForbidden},
		{"with that of another session", with("X-Praefect-Csrf", w.signedIn(actToken).csrf), http.StatusForbidden},
		{"from another origin", with("Origin", "http://evil.example.com"), http.StatusForbidden},
		{"from no origin at all", with("Origin", "null"), http.StatusForbidden},
		{"from another port of this host", with("Origin", "http://127.0.0.1:1"), http.StatusForbidden},
		{"as the browser says", with("Sec-Fetch-Site", "cross-site"), http.StatusForbidden},
		{"of the same site", with("Sec-Fetch-Site", "same-site"), http.StatusForbidden},
		{"as a form", with("Content-Type", "application/x-www-form-urlencoded"), http.StatusUnsupportedMediaType},
		{"as text", with("Content-Type", "text/plain"), http.StatusUnsupportedMediaType},
		{"under a name that somebody else owns", with("Host", "evil.example.com"), http.StatusMisdirectedRequest},
	} {
		if code, text, _ := u.ask(http.MethodPost, "/api/act", order, row.header); code != row.code {
			t.Errorf("%s: status %d, want %d: %s", row.name, code, row.code, text)
		}
	}
	w.unchanged()
	for _, path := range []string{"/", "/main.js", "/api/session", "/api/stream"} {
		if code, _, _ := u.ask(http.MethodGet, path, nil, map[string]string{"Host": "evil.example.com:80"}); code != http.StatusMisdirectedRequest {
			t.Errorf("GET %s under another name: status %d", path, code)
		}
	}
	if code, _, _ := u.ask(http.MethodGet, "/", nil, map[string]string{"Host": "praefect.example.com"}); code != http.StatusOK {
		t.Errorf("under a name of the settings: status %d", code)
	}
	if code, text, _ := u.ask(http.MethodPost, "/api/act", order, with("Origin", w.url)); code != http.StatusOK {
		t.Errorf("from our own pages: status %d: %s", code, text)
	}
}

func TestAttack_theCookie(t *testing.T) {
	w := begin(t)
	_, _, header := w.user().ask(http.MethodPost, "/api/login", []byte(`{"token":"`+readToken+`"}`), map[string]string{"Content-Type": "application/json"})
	cookie := header.Get("Set-Cookie")
	for _, want := range []string{"HttpOnly", "SameSite=Strict", "Path=/"} {
		if !strings.Contains(cookie, want) {
			t.Errorf("the cookie %q lacks %s", cookie, want)
		}
	}
	if strings.Contains(cookie, "token") || strings.Contains(cookie, readToken) {
		t.Errorf("the cookie %q holds the token", cookie)
	}
	u := w.signedIn(readToken)
	request, _ := http.NewRequest(http.MethodGet, w.url, nil)
	before := u.http.Jar.Cookies(request.URL)
	if code := u.post("/api/logout", struct{}{}, nil); code != http.StatusOK {
		t.Fatalf("logout: status %d", code)
	}
	u.http.Jar.SetCookies(request.URL, before) // somebody kept it
	w.status(u.get("/api/session", nil), http.StatusUnauthorized, "the cookie works after the end of its session")
	u = w.signedIn(readToken)
	w.tokens.Store(&console.Tokens{Read: []string{"another"}})
	w.status(u.get("/api/session", nil), http.StatusUnauthorized, "the session outlives its token")
}

func TestAttack_headersOfEveryAnswer(t *testing.T) {
	w := begin(t)
	u := w.signedIn(readToken)
	for _, path := range []string{"/", "/main.js", "/style.css", "/nothing", "/api/session", "/api/nothing", "/../console.go", "/assets/index.html"} {
		_, text, header := u.ask(http.MethodGet, path, nil, nil)
		policy := header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"} {
			if !strings.Contains(policy, want) {
				t.Errorf("GET %s: the policy lacks %q", path, want)
			}
		}
		for _, never := range []string{"unsafe", "*", "http:", "https:"} {
			if strings.Contains(policy, never) {
				t.Errorf("GET %s: the policy has %q", path, never)
			}
		}
		if header.Get("X-Content-Type-Options") != "nosniff" || header.Get("X-Frame-Options") != "DENY" {
			t.Errorf("GET %s: headers %v", path, header)
		}
		if bytes.Contains(text, []byte("package console")) {
			t.Errorf("GET %s gives sources away", path)
		}
	}
	_, page, _ := u.ask(http.MethodGet, "/", nil, nil)
	for _, never := range []string{"http://", "https://", "<style", "style=", "onclick", "javascript:"} {
		if bytes.Contains(page, []byte(never)) {
			t.Errorf("the page has %q", never)
		}
	}
}

func TestAttack_oversize(t *testing.T) {
	w := begin(t)
	u := w.signedIn(actToken)
	long := strings.Repeat("x", 17<<10)
	header := map[string]string{"Content-Type": "application/json", "X-Praefect-Csrf": u.csrf}
	if code, _, _ := u.ask(http.MethodPost, "/api/act", []byte(`{"verb":"`+long+`"}`), header); code != http.StatusRequestEntityTooLarge {
		t.Errorf("a long body: status %d", code)
	}
	if code, _, _ := w.user().ask(http.MethodPost, "/api/login", []byte(`{"token":"`+long+`"}`), header); code != http.StatusRequestEntityTooLarge {
		t.Errorf("a long token: status %d", code)
	}
	if status := w.raw("GET /api/explain?relative_path=" + long + long); !strings.HasPrefix(status, "HTTP/1.1 431 ") {
		t.Errorf("a path of 34 KiB: %q", status)
	}
	for _, body := range []string{"", "[]", "{", `{"verb":"promote"}`, `{"verb":"format c:"}`, `{"verb":"promote","storage":"gitaly-2","unknown":1}`, `{"verb":{"a":1}}`} {
		if code, text, _ := u.ask(http.MethodPost, "/api/act", []byte(body), header); code != http.StatusBadRequest {
			t.Errorf("%q: status %d: %s", body, code, text)
		}
	}
	w.status(u.post("/api/login", map[string]string{"token": actToken, "name": strings.Repeat("n", 65)}, nil), http.StatusBadRequest, "a long name")
	w.status(u.post("/api/login", map[string]string{"token": actToken, "name": "a\x1b[31mb"}, nil), http.StatusBadRequest, "a name with control characters")
	w.unchanged()
}

// raw sends bytes, and returns the first line of the answer: a client that is refused while it
// sends may never see the rest.
func (w *fixture) raw(text string) string {
	w.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
	must(w.t, err)
	defer conn.Close()
	must(w.t, conn.SetDeadline(time.Now().Add(time.Minute)))
	if _, err := io.WriteString(conn, text); err != nil {
		w.t.Fatal(err)
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	must(w.t, err)
	return line
}

func TestAttack_slowClients(t *testing.T) {
	w := begin(t)
	begun := []string{"", "GET / HTTP/1.1\r\nHost: localhost\r\n", "POST /api/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"}
	var conns []net.Conn
	for _, text := range begun {
		conn, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
		must(t, err)
		defer conn.Close()
		if _, err := io.WriteString(conn, text); err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
	}
	for i, conn := range conns {
		must(t, conn.SetReadDeadline(time.Now().Add(time.Minute)))
		if _, err := io.Copy(io.Discard, conn); err != nil {
			t.Errorf("%q is not ended by the console: %v", begun[i], err)
		}
	}
}

func TestAttack_streamsAreBounded(t *testing.T) {
	w := begin(t)
	u := w.signedIn(readToken)
	refused := 0
	for range 12 {
		if u.stream().StatusCode == http.StatusTooManyRequests {
			refused++
		}
	}
	if refused != 4 {
		t.Errorf("%d of 12 streams were refused, want 4", refused)
	}
}

func TestStream_endsWithItsSession(t *testing.T) {
	w := begin(t)
	u := w.signedIn(readToken)
	r := u.stream()
	w.tokens.Store(&console.Tokens{Read: []string{"another"}})
	text, err := io.ReadAll(r.Body)
	if err != nil || !strings.HasSuffix(strings.TrimSpace(string(text)), "event: end\ndata: {}") {
		t.Errorf("the stream ends with %v and\n%s", err, text)
	}
}

func TestStream_tellsWhatIsNotKnown(t *testing.T) {
	w := begin(t)
	w.SetJobs(nil, fmt.Errorf("queue unavailable: connection refused"))
	lines, name, seen := bufio.NewScanner(w.signedIn(readToken).stream().Body), "", map[string]bool{}
	lines.Buffer(nil, 1<<20)
	for len(seen) < 5 && lines.Scan() {
		if event, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
			name = event
			continue
		}
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok || name == "beat" {
			continue
		}
		var part struct {
			Data  json.RawMessage
			Error string
			Since *time.Time
		}
		must(t, json.Unmarshal([]byte(data), &part))
		seen[name] = true
		switch {
		case name == "queue" && (part.Error == "" || part.Since == nil):
			t.Errorf("the queue is away, and the stream says %s", data)
		case name != "queue" && (part.Error != "" || len(part.Data) == 0):
			t.Errorf("%s: %s", name, data)
		}
	}
	if len(seen) < 5 {
		t.Errorf("only %v: %v", seen, lines.Err())
	}
}
