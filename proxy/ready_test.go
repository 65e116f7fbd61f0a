package proxy

import (
	"context"
	"errors"
	"testing"
	"time"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/protobuf/types/known/durationpb"

	"praefect/proxy/check"
)

// TestReadinessCheck_answers: only fatal checks make it fail, and then all that
// failed are named, in order.
func TestReadinessCheck_answers(t *testing.T) {
	fine := func(context.Context) error { return nil }
	down := func(context.Context) error { return errors.New("down") }
	for _, tc := range []struct {
		name     string
		storages func(context.Context) error
		want     []string // names of failed checks
	}{
		{"warnings only", fine, nil},
		{"a fatal one", down, []string{"database read/write", "gitaly node connectivity & disk access"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			service := serverService{server: &Server{checks: []check.Check{check.Storages(tc.storages), check.Database(down)}}}
			answer, err := service.ReadinessCheck(t.Context(), &gitalypb.ReadinessCheckRequest{})
			if err != nil {
				t.Fatal(err)
			}
			if ok := answer.GetOkResponse() != nil; ok != (tc.want == nil) {
				t.Errorf("got %v", answer)
			}
			failed := answer.GetFailureResponse().GetFailedChecks()
			if len(failed) != len(tc.want) {
				t.Fatalf("got %v, want %q", failed, tc.want)
			}
			for i, f := range failed {
				if f.GetName() != tc.want[i] || f.GetErrorMessage() != "down" {
					t.Errorf("got %v, want %q", f, tc.want[i])
				}
			}
		})
	}
}

func TestReadinessCheck_honoursTheTimeout(t *testing.T) {
	bounds := make(chan time.Duration, 1)
	service := serverService{server: &Server{checks: []check.Check{check.Storages(func(ctx context.Context) error {
		deadline, _ := ctx.Deadline()
		bounds <- time.Until(deadline)
		return nil
	})}}}
	if _, err := service.ReadinessCheck(t.Context(), &gitalypb.ReadinessCheckRequest{Timeout: durationpb.New(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	if got := <-bounds; got > time.Hour || got < time.Hour-time.Minute {
		t.Errorf("a check has %v, want an hour", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := service.ReadinessCheck(ctx, &gitalypb.ReadinessCheckRequest{}); !errors.Is(err, context.Canceled) {
		t.Errorf("a client that has gone: got %v", err)
	}
}
