package membership

import (
	"errors"
	"fmt"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestProblem(t *testing.T) {
	for _, row := range []struct {
		err  error
		want string
	}{
		{
			fmt.Errorf("call Status of the peer at 10.0.0.3:2307: %w", status.Error(codes.Unavailable,
				`connection error: desc = "transport: Error while dialing: dial tcp 10.0.0.3:2307: connect: connection refused"`)),
			"dial tcp 10.0.0.3:2307: connect: connection refused",
		},
		{errors.New("another instance answers"), "another instance answers"},
	} {
		if got := problem(row.err); got != row.want {
			t.Errorf("%v: got %q, want %q", row.err, got, row.want)
		}
	}
}
