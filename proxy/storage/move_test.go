package storage

import (
	"context"
	"strings"
	"testing"
	"time"

	gitalyauth "gitlab.com/gitlab-org/gitaly/v16/auth"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
)

// proves tells whether a token was made of the secret.
func proves(t *testing.T, token, secret string) bool {
	t.Helper()
	ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs("authorization", token))
	return gitalyauth.CheckToken(ctx, secret, time.Now()) == nil
}

func TestSet_replacesATokenOnTheSameConnection(t *testing.T) {
	l := listen(t, "127.0.0.1:0")
	f := newFakeStorage("disk-1")
	f.serve(t, l)
	at := target("tcp://" + l.Addr().String())
	s := start(t, patient(), at)
	c := conn(t, s)
	at.Token = "another secret"
	if err := s.CheckMove(t.Context(), []Target{at}); err != nil {
		t.Error(err)
	}
	if err := s.Move([]Target{at}); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Target("default", "gitaly-1"); err != nil || got != at {
		t.Errorf("target: got %v, %v", got, err)
	}
	if _, err := healthpb.NewHealthClient(c).Check(t.Context(), &healthpb.HealthCheckRequest{}); err != nil {
		t.Fatal(err)
	}
	calls := f.arrived(checkMethod)
	if last := calls[len(calls)-1].token; len(last) != 1 || !proves(t, last[0], "another secret") {
		t.Errorf("the token is %q, want one of the new secret", last)
	}
	if again := conn(t, s); again != c || c.Err() != nil {
		t.Errorf("the connection was made anew: %v", c.Err())
	}
}

func TestSet_movesToAnotherAddress(t *testing.T) {
	before, after := listen(t, "127.0.0.1:0"), listen(t, "127.0.0.1:0")
	old, moved := newFakeStorage("disk-1"), newFakeStorage("disk-1")
	old.serve(t, before)
	moved.serve(t, after)
	s := start(t, patient(), target("tcp://"+before.Addr().String()))
	c := conn(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	underWay := watch(t, ctx, c)

	to := target("tcp://" + after.Addr().String())
	if err := s.CheckMove(t.Context(), []Target{to, {VirtualStorage: "default", Storage: "unknown", Address: "tcp://a:1"}}); err != nil {
		t.Error(err)
	}
	if err := s.Move([]Target{to, {VirtualStorage: "default", Storage: "unknown", Address: "tcp://a:1"}}); err != nil {
		t.Fatal(err)
	}
	for unmoved := true; unmoved; { // at no moment it is unreachable
		c, err := s.Conn("default", "gitaly-1")
		if err != nil {
			t.Fatal(err)
		}
		unmoved = c.Generation() == 1
	}
	await(t, s, "reachable at the new address", func(r observation) bool { return r.Reachable && r.Address == to.Address && r.Generation == 2 })
	if got := conn(t, s).Target(); got != to {
		t.Errorf("connected to %v, want %v", got, to)
	}
	old.health.SetServingStatus("", healthpb.HealthCheckResponse_NOT_SERVING)
	if answer, err := underWay.Recv(); err != nil || answer.GetStatus() != healthpb.HealthCheckResponse_NOT_SERVING {
		t.Errorf("an RPC under way: got %v, %v, want it to go on at the old address", answer, err)
	}
}

func TestSet_checksAMove(t *testing.T) {
	here, other, away := listen(t, "127.0.0.1:0"), listen(t, "127.0.0.1:0"), listen(t, "127.0.0.1:0")
	newFakeStorage("disk-1").serve(t, here)
	newFakeStorage("disk-2").serve(t, other)
	if err := away.Close(); err != nil {
		t.Fatal(err)
	}
	first := target("tcp://" + here.Addr().String())
	s := start(t, patient(), first)
	conn(t, s)
	for address, want := range map[string]string{
		"tcp://" + other.Addr().String(): `the disk there is "disk-2"`,
		"tcp://" + away.Addr().String():  "connection refused",
		"gitaly":                         "invalid connection string",
	} {
		err := s.CheckMove(t.Context(), []Target{target(address)})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), `storage "gitaly-1"`) {
			t.Errorf("%s: got %v, want it to say %q", address, err, want)
		}
	}
	if got, err := s.Target("default", "gitaly-1"); err != nil || got != first {
		t.Errorf("a check moved the storage to %v (%v)", got, err)
	}
	// A storage that is not reachable may be on its way: there is nothing to compare with.
	lost := start(t, patient(), target("tcp://"+away.Addr().String()))
	await(t, lost, "refused", func(r observation) bool { return r.Refused })
	if err := lost.CheckMove(t.Context(), []Target{target("tcp://" + other.Addr().String())}); err != nil {
		t.Error(err)
	}
	if err := lost.Move([]Target{target("tcp://" + other.Addr().String())}); err != nil {
		t.Error(err)
	}
	await(t, lost, "reachable", func(r observation) bool { return r.FilesystemID == "disk-2" })
}
