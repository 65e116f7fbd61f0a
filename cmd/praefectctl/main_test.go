package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"praefect/fsm/state"
	"praefect/proxy/admin"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// instance is an instance with one virtual storage of gitaly-1 (primary) and
// gitaly-2.
type instance struct {
	t     *testing.T
	state *state.State
	away  map[string]bool
	jobs  []admin.Job
	err   error // of the queue

	token atomic.Pointer[string] // that the last caller showed
}

func newInstance(t *testing.T) *instance {
	i := &instance{t: t, state: &state.State{}, away: map[string]bool{}}
	i.apply(state.Command{Register: &state.Register{ID: "a", ClusterID: "cluster"}})
	i.apply(state.Command{Define: &state.Define{VirtualStorage: "default", Storages: []string{"gitaly-1", "gitaly-2"}}})
	i.reached("gitaly-1", 0)
	i.reached("gitaly-2", 0)
	return i
}

// reached reports a storage; filled is the index at which its filling began.
func (i *instance) reached(name string, filled state.Index) {
	i.t.Helper()
	i.apply(state.Command{Return: &state.Return{VirtualStorage: "default", Storage: name, FilesystemID: "disk", Filled: filled}})
}

// filled makes gitaly-2, which begins by being filled, serve.
func (i *instance) filled() *instance {
	i.t.Helper()
	i.reached("gitaly-2", i.state.VirtualStorage("default").Storage("gitaly-2").Since)
	return i
}

// wrote makes a repository one that only gitaly-1 has.
func (i *instance) wrote(path string) {
	i.t.Helper()
	paths := []string{path}
	i.apply(state.Command{Open: &state.OpenMark{VirtualStorage: "default", Paths: paths, Kind: state.Solo}})
	i.apply(state.Command{Wrote: &state.Wrote{
		VirtualStorage: "default", Paths: paths, Primary: "gitaly-1",
		Epoch: i.state.VirtualStorage("default").Epoch, Agreeing: []string{"gitaly-1"},
	}})
}

func (i *instance) apply(command state.Command) {
	i.t.Helper()
	index := i.state.Index + 1
	batch := state.Batch{Version: state.CommandVersion, RequestID: fmt.Sprint(index), Number: uint64(index), Commands: []state.Command{command}}
	if command.Register == nil {
		batch.Incarnation = 1
	}
	next, results := i.state.Apply(index, batch)
	if refusal := results[0].Refusal; refusal != nil {
		i.t.Fatal(refusal)
	}
	i.state = next
}

func (i *instance) View() *state.State { return i.state }

func (i *instance) Reach(_, storage string) admin.Reach {
	if i.away[storage] {
		return admin.Reach{Err: errors.New("connection refused")}
	}
	return admin.Reach{Reachable: true, FilesystemID: "disk"}
}

func (i *instance) Filling(string, string) *admin.Filling { return &admin.Filling{Total: 10, Done: 4} }

func (i *instance) Jobs(_ context.Context, r admin.QueueListRequest) ([]admin.Job, error) {
	var jobs []admin.Job
	for _, j := range i.jobs {
		if j.ID > r.After && (r.State == "" || r.State == j.State) && len(jobs) < r.Limit {
			jobs = append(jobs, j)
		}
	}
	return jobs, i.err
}

// serve returns the host:port at which the instance answers until the test
// ends.
func (i *instance) serve() string {
	i.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		i.t.Fatal(err)
	}
	server := grpc.NewServer(grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		md, _ := metadata.FromIncomingContext(ctx)
		token := strings.Join(md.Get("authorization"), ",")
		i.token.Store(&token)
		return handler(ctx, req)
	}))
	admin.New("praefect-1", i, i, i).Register(server)
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	i.t.Cleanup(func() {
		server.Stop()
		if err := <-done; err != nil {
			i.t.Error(err)
		}
	})
	return l.Addr().String()
}

// outcome is what a command left behind.
type outcome struct {
	code           int
	stdout, stderr string
}

// terminal is an environment that shows everything.
var terminal = map[string]string{"LANG": "en_US.UTF-8"}

// praefectctl runs the program with the arguments. With an environment, its
// output is a terminal.
func praefectctl(t *testing.T, env map[string]string, args ...string) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	p := &program{
		version: "1.2.3", stdout: &stdout, stderr: &stderr, terminal: env != nil,
		getenv: func(name string) string { return env[name] },
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	code := p.run(ctx, append([]string{"praefectctl"}, args...))
	return outcome{code, stdout.String(), stderr.String()}
}

// writeFile writes a file and returns its path.
func writeFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
