package proxy

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
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
		s.logCall(t.Context(), &call0, tc.method, time.Now(), err)
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

// call0 is a call of which nothing was learnt.
var call0 call
