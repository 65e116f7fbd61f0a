package plan

import (
	"testing"

	"google.golang.org/grpc/codes"
)

func TestJudge(t *testing.T) {
	for _, row := range []struct {
		code codes.Code
		text string
		want Failure
	}{
		{codes.Unavailable, "connection lost", FailureElsewhere},
		{codes.DeadlineExceeded, "bad object refs/heads/a", FailureElsewhere},
		{codes.NotFound, "invalid source repository", FailureElsewhere},
		{codes.Canceled, "", FailureElsewhere},
		{codes.Internal, "fetch internal remote: exit status 253", FailureOfReplica},
		{codes.Unknown, "panic", FailureOfReplica},
		{codes.Internal, "error: object directory /x/y does not exist; check .git/objects/info/alternates", FailureBroken},
		{codes.Internal, "error: unable to normalize alternate object path: ../../p.git/objects", FailureBroken},
		{codes.Internal, "fatal: bad object refs/heads/main", FailureBroken},
		{codes.DataLoss, "fatal: loose object 1234 (stored in objects/12/34) is corrupt", FailureBroken},
	} {
		if got := Judge(row.code, row.text); got != row.want {
			t.Errorf("%v %q: got %d, want %d", row.code, row.text, got, row.want)
		}
	}
}
