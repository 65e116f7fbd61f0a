package console_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"praefect/proxy/admin"
	"praefect/proxy/admin/admintest"
	"praefect/proxy/console"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	readToken = "the client's token"
	actToken  = "the operator's token"
)

// must ends a test at an error.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// fixture is a cluster in memory and a console that serves it at an address of this machine.
type fixture struct {
	t *testing.T
	*admintest.Cluster
	url    string
	tokens atomic.Pointer[console.Tokens]
	stop   func() // ends the console
}

func begin(t *testing.T) *fixture {
	return beginWith(t, admintest.New(t, "gitaly-1", "gitaly-2", "gitaly-3"))
}

func beginWith(t *testing.T, cluster *admintest.Cluster) *fixture {
	t.Helper()
	w := &fixture{t: t, Cluster: cluster}
	w.tokens.Store(&console.Tokens{Read: []string{readToken, ""}, Act: actToken})
	service := admin.New(cluster.Deps(), admin.Config{Instance: "praefect-1", Access: admin.Access{Token: actToken}})
	inner, server := bufconn.Listen(1<<20), grpc.NewServer()
	service.Register(server)
	served := make(chan error, 1)
	go func() { served <- server.Serve(inner) }()
	cc, err := grpc.NewClient("passthrough:///admin", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return inner.DialContext(ctx) }))
	must(t, err)
	pages, err := console.New(func(token string) console.Cluster { return admin.NewClient(cc).WithAdminToken(token) }, console.Config{
		Instance: "praefect-1", Version: "1.2.3", Hosts: []string{"praefect.example.com"}, Tokens: func() console.Tokens { return *w.tokens.Load() },
	})
	must(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	w.url = "http://" + listener.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- pages.Run(ctx, listener) }()
	ended := false
	w.stop = func() {
		if ended {
			return
		}
		ended = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the console ended with: %v", err)
		}
	}
	t.Cleanup(func() {
		w.stop()
		if err := cc.Close(); err != nil {
			t.Error(err)
		}
		server.Stop()
		service.Wait()
		if err := <-served; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			t.Error(err)
		}
	})
	return w
}

// user is a client of the console with cookies of its own.
type user struct {
	w    *fixture
	http *http.Client
	csrf string
}

func (w *fixture) user() *user {
	jar, err := cookiejar.New(nil)
	must(w.t, err)
	transport := &http.Transport{}
	w.t.Cleanup(transport.CloseIdleConnections)
	return &user{w: w, http: &http.Client{Jar: jar, Transport: transport}}
}

// signedIn is a user that has shown a token.
func (w *fixture) signedIn(token string) *user {
	w.t.Helper()
	u := w.user()
	var id struct{ CSRF string }
	if code := u.post("/api/login", map[string]string{"token": token, "name": "alice"}, &id); code != http.StatusOK {
		w.t.Fatalf("login: status %d", code)
	}
	u.csrf = id.CSRF
	return u
}

// ask makes a request and returns its status and its body.
func (u *user) ask(method, path string, body []byte, header map[string]string) (int, []byte, http.Header) {
	u.w.t.Helper()
	ctx, cancel := context.WithTimeout(u.w.t.Context(), time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, u.w.url+path, bytes.NewReader(body))
	must(u.w.t, err)
	for key, value := range header {
		if key == "Host" {
			r.Host = value
		}
		r.Header.Set(key, value)
	}
	response, err := u.http.Do(r)
	must(u.w.t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	must(u.w.t, err)
	return response.StatusCode, text, response.Header
}

// stream begins one, which ends with the test.
func (u *user) stream() *http.Response {
	u.w.t.Helper()
	r, err := u.http.Get(u.w.url + "/api/stream")
	must(u.w.t, err)
	u.w.t.Cleanup(func() { r.Body.Close() })
	return r
}

// get asks for a document.
func (u *user) get(path string, into any) int {
	u.w.t.Helper()
	code, text, _ := u.ask(http.MethodGet, path, nil, nil)
	u.decode(text, into)
	return code
}

// post sends a document as our pages do.
func (u *user) post(path string, document, into any) int {
	u.w.t.Helper()
	body, err := json.Marshal(document)
	must(u.w.t, err)
	code, text, _ := u.ask(http.MethodPost, path, body, map[string]string{"Content-Type": "application/json", "X-Praefect-Csrf": u.csrf})
	u.decode(text, into)
	return code
}

func (u *user) decode(text []byte, into any) {
	u.w.t.Helper()
	if into == nil {
		return
	}
	if err := json.Unmarshal(text, into); err != nil {
		u.w.t.Fatalf("decode %q: %v", text, err)
	}
}

// status compares that of an answer with the right one.
func (w *fixture) status(code, want int, format string, args ...any) {
	w.t.Helper()
	if code != want {
		w.t.Errorf("%s: status %d, want %d", fmt.Sprintf(format, args...), code, want)
	}
}

// unchanged fails a test if the cluster was asked for changes.
func (w *fixture) unchanged() {
	w.t.Helper()
	if asked := w.Asked(); len(asked) != 0 {
		w.t.Errorf("the cluster was asked for changes: %v", asked)
	}
}

// fault is what a refusal says.
type fault struct{ Kind, Message string }

// act plans a change and carries it out; it returns the lines of the answer.
func (u *user) act(order map[string]any) (news []map[string]json.RawMessage) {
	u.w.t.Helper()
	var plan struct {
		RequestID string `json:"request_id"`
		Epoch     uint64
		Confirm   string
	}
	if code := u.post("/api/plan", order, &plan); code != http.StatusOK {
		u.w.t.Fatalf("plan: status %d", code)
	}
	order["request_id"], order["epoch"], order["confirm"] = plan.RequestID, plan.Epoch, plan.Confirm
	body, err := json.Marshal(order)
	must(u.w.t, err)
	code, text, _ := u.ask(http.MethodPost, "/api/act", body, map[string]string{"Content-Type": "application/json", "X-Praefect-Csrf": u.csrf})
	if code != http.StatusOK {
		u.w.t.Fatalf("act: status %d: %s", code, text)
	}
	for line := range strings.Lines(string(text)) {
		var one map[string]json.RawMessage
		u.decode([]byte(line), &one)
		news = append(news, one)
	}
	return news
}
