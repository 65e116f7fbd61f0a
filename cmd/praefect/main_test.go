package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"praefect/test/postgres"
)

// database is the server that the tests of this package share.
var database *postgres.Server

func TestMain(m *testing.M) {
	code := postgres.Main(m, &database, postgres.Options{})
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// must ends a test at an error.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// should notes an error, and the test goes on.
func should(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

// contains wants a text to have the parts.
func contains(t testing.TB, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("no %q in %q", part, text)
		}
	}
}

// outcome is what a command left behind.
type outcome struct {
	code           int
	stdout, stderr string
}

// is wants a command to have left exactly this.
func (o outcome) is(t *testing.T, want outcome) {
	t.Helper()
	if o != want {
		t.Errorf("got %d\n%s%s\nwant %d\n%s%s", o.code, o.stdout, o.stderr, want.code, want.stdout, want.stderr)
	}
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

// same compares what a test got with what is right.
func same[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// praefect runs the program with the arguments.
func praefect(t *testing.T, stdin string, args ...string) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	p := &program{
		version: "1.2.3", stdin: strings.NewReader(stdin), stdout: &stdout, stderr: &stderr,
		getenv: func(string) string { return "" },
	}
	code := p.run(t.Context(), append([]string{"praefect"}, args...))
	return outcome{code, stdout.String(), stderr.String()}
}

// settings are those of a configuration file.
type settings struct {
	listen   string   // for clients; empty for a free port
	database string   // the section's lines
	nodes    []string // address of each storage: gitaly-1, gitaly-2, …
	more     string   // further sections
	top      string   // further settings outside of sections
}

// write writes the settings to a file and returns its path.
func (s settings) write(t *testing.T) string {
	t.Helper()
	away := s.database == "" // then a new cluster begins without Postgres
	if away {
		s.database = "host = \"127.0.0.1\"\nport = 1\nsslmode = \"disable\"\nconnect_timeout = \"1s\""
	}
	if s.nodes == nil {
		s.nodes = []string{"tcp://127.0.0.1:1"}
	}
	if s.listen == "" {
		s.listen = "127.0.0.1:0"
	}
	dir := t.TempDir()
	text := s.top + fmt.Sprintf("listen_addr = %q\nprometheus_listen_addr = \"127.0.0.1:0\"\n[logging]\nformat = \"json\"\n[raft]\ndata_dir = %q\nbegin_without_postgres = %v\n[database]\n%s\n%s",
		s.listen, filepath.Join(dir, "raft"), away, s.database, s.more)
	for _, vs := range []string{"default", "other"} {
		text += fmt.Sprintf("[[virtual_storage]]\nname = %q\n", vs)
		for i, address := range s.nodes {
			text += fmt.Sprintf("[[virtual_storage.node]]\nstorage = \"gitaly-%d\"\naddress = %q\ntoken = \"secret\"\n", i+1, address)
		}
	}
	path := filepath.Join(dir, "config.toml")
	must(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// gitaly is a server with some storages, until the test ends.
type gitaly struct {
	gitalypb.UnimplementedServerServiceServer
	storages []*gitalypb.ServerInfoResponse_StorageStatus
}

func (g gitaly) ServerInfo(context.Context, *gitalypb.ServerInfoRequest) (*gitalypb.ServerInfoResponse, error) {
	return &gitalypb.ServerInfoResponse{StorageStatuses: g.storages}, nil
}

// serve returns the address of the server.
func (g gitaly) serve(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	s := grpc.NewServer()
	gitalypb.RegisterServerServiceServer(s, g)
	healthpb.RegisterHealthServer(s, health.NewServer())
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop()
		should(t, <-done)
	})
	return "tcp://" + l.Addr().String()
}
