package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"praefect/proxy/admin"
)

// front is a gRPC server that has no service of ours and ends every call with the code.
func front(t *testing.T, code codes.Code) string {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	server := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, ss grpc.ServerStream) error {
		return status.Error(code, map[codes.Code]string{
			codes.Unauthenticated: "authentication required", codes.PermissionDenied: "permission denied", codes.Unimplemented: "unknown service",
		}[code])
	}))
	healthpb.RegisterHealthServer(server, health.NewServer())
	served := make(chan error, 1)
	go func() { served <- server.Serve(lis) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return lis.Addr().String()
}

// TestProgram_passesOverWhatIsNoPraefect: one wrong endpoint in a list costs a part of the time, and
// never the command.
func TestProgram_passesOverWhatIsNoPraefect(t *testing.T) {
	silent := silentPort(t)
	web := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(web.Close)
	for name, wrong := range map[string]string{
		"nothing there": closedPort(t), "one that says nothing": silent, "a web server": strings.TrimPrefix(web.URL, "http://"),
		"another gRPC server": front(t, codes.Unimplemented), "a server with another token": front(t, codes.PermissionDenied),
		"a server that wants a token": front(t, codes.Unauthenticated),
	} {
		for _, command := range [][]string{{"status"}, {"raft", "status"}, {"history"}, {"explain", "a.git"}, {"pause"}, {"promote", "-dry-run", "gitaly-2"}, {"drain", "gitaly-2", "-y"}} {
			t.Run(name+" "+strings.Join(command, " "), func(t *testing.T) {
				t.Parallel()
				list := wrong + "," + newInstance(t).serve(t)
				praefectctl(t, nil, append([]string{"-timeout", "8s", "-endpoints", list}, command...)...).ends(t, 0)
			})
		}
	}
}

// TestProgram_errorsNameTheNextStep, and end with the code of the endpoint that said most.
func TestProgram_errorsNameTheNextStep(t *testing.T) {
	closed, other := closedPort(t), front(t, codes.Unimplemented)
	denied, unauthenticated := front(t, codes.PermissionDenied), front(t, codes.Unauthenticated)
	leaderless := func() string {
		i := newInstance(t)
		i.Raft(func(v *admin.RaftView) { v.Leader = "" })
		return i.serve(t)
	}()
	for _, row := range []struct {
		name, endpoints string
		code            int
		want            string
	}{
		{"a wrong token", denied, exitError, "the instance has another token: give the token of [auth] in the instance's settings by -token-file"},
		{"no token", unauthenticated, exitError, "give the token of [auth]"},
		{"no praefect", other, exitUnavailable, "this is no praefect"},
		{"nothing there", closed, exitUnavailable, "refused"},
		{"a wrong token, and nothing there", denied + "," + closed, exitError, "another token"},
		{"nothing there, and no praefect", closed + "," + other, exitUnavailable, "this is no praefect"},
	} {
		for _, command := range [][]string{{"status"}, {"pause"}, {"promote", "gitaly-2"}, {"queue", "list"}} {
			got := praefectctl(t, nil, append([]string{"-endpoints", row.endpoints}, command...)...)
			if got.code != row.code || !strings.Contains(got.stderr, row.want) {
				t.Errorf("%s: %v: got %+v", row.name, command, got)
			}
		}
	}
	for _, command := range [][]string{{"status"}, {"raft", "status"}, {"raft", "peers"}, {"pause"}, {"promote", "gitaly-2"}, {"drain", "gitaly-2", "-dry-run"}, {"raft", "transfer"}} {
		praefectctl(t, nil, append([]string{"-timeout", "600ms", "-endpoints", leaderless + "," + closed}, command...)...).ends(t, exitUnavailable)
	}
}

// TestCarryOut_timeRunsOutWithoutALeader: that nobody leads says more than that the time is up.
func TestCarryOut_timeRunsOutWithoutALeader(t *testing.T) {
	silent := silentPort(t)
	i := newInstance(t).fails(false, slices.Repeat([]error{admin.Errorf(admin.NoLeader, "nobody leads")}, 100)...)
	praefectctl(t, nil, "-timeout", "1s", "-endpoints", i.serve(t)+","+silent, "pause").fails(t, exitUnavailable, "nobody leads")
}
