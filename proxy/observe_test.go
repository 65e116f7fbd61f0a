package proxy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"praefect/proxy/method"
)

// TestServer_logsACallAtTheLevelItsCodeDeserves: an operator who filters by level sees faults, and
// no client's mistakes among them.
func TestServer_logsACallAtTheLevelItsCodeDeserves(t *testing.T) {
	const call, health = "/gitaly.RefService/RefExists", "/grpc.health.v1.Health/Check"
	for _, tc := range []struct {
		method string
		code   codes.Code
		want   string
	}{
		{call, codes.OK, "INFO"}, {call, codes.Canceled, "INFO"}, {call, codes.NotFound, "INFO"}, {call, codes.InvalidArgument, "INFO"},
		{call, codes.AlreadyExists, "INFO"},
		{call, codes.Unavailable, "WARN"}, {call, codes.DeadlineExceeded, "WARN"}, {call, codes.ResourceExhausted, "WARN"},
		{call, codes.FailedPrecondition, "WARN"}, {call, codes.PermissionDenied, "WARN"}, {call, codes.Unauthenticated, "WARN"},
		{call, codes.Unimplemented, "WARN"}, {call, codes.Aborted, "WARN"},
		{call, codes.Internal, "ERROR"}, {call, codes.Unknown, "ERROR"}, {call, codes.DataLoss, "ERROR"},
		{health, codes.OK, "DEBUG"}, {health, codes.Unavailable, "WARN"},
	} {
		var out bytes.Buffer
		s := &Server{log: slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))}
		var err error
		if tc.code != codes.OK {
			err = status.Error(tc.code, "why")
		}
		s.logCall(t.Context(), &call0, rpc{fullMethod: tc.method}, origin{}, time.Now(), err)
		var line struct {
			Level string `json:"level"`
			Code  string `json:"grpc.code"`
		}
		if err := json.Unmarshal(out.Bytes(), &line); err != nil {
			t.Fatalf("%v: %q", err, out.String())
		}
		if line.Level != tc.want || line.Code != tc.code.String() {
			t.Errorf("%s that ends with %v: got %+v, want level %s", tc.method, tc.code, line, tc.want)
		}
	}
}

// TestServer_logsUpstreamsFields: log pipelines of upstream's Praefect find the same facts.
func TestServer_logsUpstreamsFields(t *testing.T) {
	methods, err := method.Open()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	s := &Server{log: slog.New(slog.NewJSONHandler(&out, nil)), methods: methods}
	ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs(
		"x-gitlab-client-name", "gitlab-web", "call_site", "Repository#exists", "deadline_type", "regular",
		"remote_ip", "192.0.2.1", "user_id", "7", "username", "sue",
	))
	ctx, cancel := context.WithDeadline(ctx, time.Date(2040, 1, 2, 3, 4, 5, 6e6, time.UTC))
	defer cancel()
	ctx = peer.NewContext(ctx, &peer.Peer{Addr: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 9), Port: 1}})
	c := &call{
		kind: "accessor", correlationID: "id-1", virtualStorage: "default", relativePath: "a.git", storage: "gitaly-1",
		glRepository: "project-1", glProjectPath: "group/app", requestBytes: 12, responseBytes: 345,
	}
	const name = "/gitaly.RefService/ListRefs"
	s.logCall(ctx, c, s.rpcOf(name, false, true, true), originOf(ctx), time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), nil)
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("%v: %q", err, out.String())
	}
	delete(line, "time")
	delete(line, "grpc.time_ms")
	want := map[string]any{
		"level": "INFO", "msg": "finished call", "correlation_id": "id-1", "peer.address": "192.0.2.9:1",
		"grpc.service": "gitaly.RefService", "grpc.method": "ListRefs", "grpc.code": "OK", "grpc.start_time": "2026-01-02T03:04:05.000",
		"grpc.meta.method_type": "server_stream", "grpc.meta.method_operation": "accessor", "grpc.meta.method_scope": "repository",
		"grpc.meta.auth_version": "v2", "grpc.meta.client_name": "gitlab-web", "grpc.meta.call_site": "Repository#exists",
		"grpc.meta.deadline_type": "regular", "remote_ip": "192.0.2.1", "user_id": "7", "username": "sue",
		"grpc.request.payload_bytes": 12.0, "grpc.response.payload_bytes": 345.0,
		"grpc.request.fullMethod": name, "grpc.request.deadline": "2040-01-02T03:04:05.006",
		"grpc.request.repoStorage": "default", "grpc.request.repoPath": "a.git", "grpc.request.glRepository": "project-1",
		"grpc.request.glProjectPath": "group/app", "virtual_storage": "default", "relative_path": "a.git", "storage": "gitaly-1",
	}
	if diff := cmp.Diff(want, line); diff != "" {
		t.Error(diff)
	}
}

// TestServer_logsPayloadBytes: the line of a forwarded call has the size of what was sent and received.
func TestServer_logsPayloadBytes(t *testing.T) {
	var log lines
	w := newFixture(t)
	w.server.log = slog.New(slog.NewJSONHandler(&log, nil))
	request := &gitalypb.RepositoryExistsRequest{Repository: repository("a.git")}
	answer, err := gitalypb.NewRepositoryServiceClient(w.conn).RepositoryExists(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	w.eventually(func() error {
		if len(log.with("finished call")) == 0 {
			return errors.New("no line yet")
		}
		return nil
	})
	var line struct {
		Request  int `json:"grpc.request.payload_bytes"`
		Response int `json:"grpc.response.payload_bytes"`
	}
	if err := json.Unmarshal([]byte(log.with("finished call")[0]), &line); err != nil {
		t.Fatal(err)
	}
	if line.Request != proto.Size(request) || line.Response != proto.Size(answer) || line.Request == 0 {
		t.Errorf("got %+v, want %d and %d", line, proto.Size(request), proto.Size(answer))
	}
}

// call0 is a call of which nothing was learnt.
var call0 call
