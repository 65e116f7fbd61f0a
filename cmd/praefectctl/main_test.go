package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"praefect/proxy/admin"
	"praefect/proxy/admin/admintest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// instance is an instance of a cluster that the tools can ask.
type instance struct {
	*admintest.Cluster
	t       *testing.T
	token   atomic.Pointer[string] // that the last caller showed
	address string                 // where ctl asks it; empty at first
}

// newInstance makes one with the storages gitaly-1 (primary) and gitaly-2.
func newInstance(t *testing.T) *instance {
	return &instance{t: t, Cluster: admintest.New(t, "gitaly-1", "gitaly-2")}
}

// ctl runs the program for a script that asks this instance.
func (i *instance) ctl(args ...string) outcome {
	i.t.Helper()
	if i.address == "" {
		i.address = i.serve(i.t)
	}
	return praefectctl(i.t, nil, append([]string{"-endpoints", i.address}, args...)...)
}

// serve returns the host:port at which the instance answers until the test
// ends. Changes are free.
func (i *instance) serve(t *testing.T) string {
	return i.serveAs(t, "praefect-1", "tcp", "127.0.0.1:0", admin.Access{Peers: true})
}

// socket serves on a Unix socket, where operators need no token, and returns its
// address.
func (i *instance) socket(t *testing.T) string { return i.socketFor(t, admin.Access{}) }

func (i *instance) socketFor(t *testing.T, access admin.Access) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "") // a socket's path must be short
	must(t, err)
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return "unix:" + i.serveAs(t, "praefect-1", "unix", filepath.Join(dir, "s"), access)
}

// serveAs serves under another name, elsewhere, to those who have access.
func (i *instance) serveAs(t *testing.T, name, network, address string, access admin.Access) string {
	t.Helper()
	l, err := net.Listen(network, address)
	must(t, err)
	server := grpc.NewServer(grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		md, _ := metadata.FromIncomingContext(ctx)
		token := strings.Join(md.Get("authorization"), ",")
		i.token.Store(&token)
		return handler(ctx, req)
	}))
	service := admin.New(i.Deps(), admin.Config{Instance: name, Access: access})
	service.Register(server)
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Stop()
		service.Wait()
		// A server may be stopped before it has begun.
		if err := <-done; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// outcome is what a command left behind.
type outcome struct {
	code           int
	stdout, stderr string
}

// ends wants a command to have ended with the code, with the texts on standard output.
func (o outcome) ends(t *testing.T, code int, texts ...string) {
	t.Helper()
	o.has(t, code, o.stdout, texts)
}

// fails is ends for texts on standard error.
func (o outcome) fails(t *testing.T, code int, texts ...string) {
	t.Helper()
	o.has(t, code, o.stderr, texts)
}

func (o outcome) has(t *testing.T, code int, printed string, texts []string) {
	t.Helper()
	lacks := func(text string) bool { return !strings.Contains(printed, text) }
	if o.code != code || slices.ContainsFunc(texts, lacks) {
		t.Errorf("got %+v, want the code %d and %q", o, code, texts)
	}
}

// is wants a command to have left exactly this.
func (o outcome) is(t *testing.T, want outcome) {
	t.Helper()
	if o != want {
		t.Errorf("got %d\n%s%s\nwant %d\n%s%s", o.code, o.stdout, o.stderr, want.code, want.stdout, want.stderr)
	}
}

// document is the JSON that a command has printed which ended with the code.
func document[Answer any](t *testing.T, o outcome, code int) (answer Answer) {
	t.Helper()
	o.ends(t, code)
	must(t, json.Unmarshal([]byte(o.stdout), &answer))
	return answer
}

// screen is an environment that shows everything.
var screen = map[string]string{"LANG": "en_US.UTF-8"}

// praefectctl runs the program with the arguments. With an environment, its
// output is a terminal.
func praefectctl(t *testing.T, env map[string]string, args ...string) outcome {
	t.Helper()
	return operator{env: env}.run(t, args...)
}

// operator is somebody, or a script, that uses the program.
type operator struct {
	env map[string]string
	// types is what comes on standard input; with asked, somebody sits there, who
	// does what thinks does before.
	types  string
	asked  bool
	thinks func()
	// ctx ends with Ctrl-C; nil if there is none.
	ctx context.Context
	// stdout, and both for stderr too, are nil for the outcome.
	stdout, both io.Writer
	// tty is a terminal for standard output, nil for none.
	tty *os.File
}

// Read is standard input.
func (o operator) Read(p []byte) (int, error) {
	if o.thinks != nil {
		o.thinks()
	}
	return copy(p, o.types), io.EOF
}

func (o operator) run(t *testing.T, args ...string) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	p := &program{
		version: "1.2.3", stdin: o, stdout: &stdout, stderr: &stderr,
		terminal: o.env["LANG"] != "", interactive: o.asked,
		getenv:   func(name string) string { return o.env[name] },
		hostname: func() (string, error) { return "desk", nil },
		account:  func() string { return "uid 0" },
		size:     func() (int, int) { return 100, 40 },
		newID:    rand.Text,
	}
	if o.stdout != nil {
		p.stdout = o.stdout
	}
	if o.tty != nil {
		p.stdout, p.terminal, p.size = o.tty, isTerminal(o.tty), func() (int, int) { return size(o.tty) }
	}
	if o.both != nil {
		p.stdout, p.stderr = o.both, o.both
	}
	ctx := o.ctx
	if ctx == nil {
		ctx = t.Context()
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	code := p.run(ctx, append([]string{"praefectctl"}, args...))
	return outcome{code, stdout.String(), stderr.String()}
}

// must ends a test at an error.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// writeFile writes a file and returns its path.
func writeFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}
