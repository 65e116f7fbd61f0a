package main

import (
	"strings"
	"testing"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// An instance that answers and has no quorum was reached: the text names the next step, and does not blame the network.
func TestExplain_unavailable(t *testing.T) {
	to := &target{host: "10.0.0.1:2305", repo: &gitalypb.Repository{}}
	for _, row := range []struct{ message, want string }{
		{"no lease: this instance hears of no leader", "10.0.0.1:2305 cannot do it now: no lease: this instance hears of no leader; try again, and if it lasts: `praefectctl status`"},
		{`connection error: desc = "transport: Error while dialing: connection refused"`, "cannot reach 10.0.0.1:2305: connection error"},
		{"name resolver error: produced zero addresses", "cannot reach 10.0.0.1:2305"},
	} {
		if got := to.explain(status.Error(codes.Unavailable, row.message)).Error(); !strings.HasPrefix(got, row.want) {
			t.Errorf("%q: got %q", row.message, got)
		}
	}
}
