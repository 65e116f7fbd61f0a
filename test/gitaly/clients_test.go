package gitaly_test

import (
	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc"
)

// clients are the services of one connection.
type clients struct {
	conn    *grpc.ClientConn
	repos   gitalypb.RepositoryServiceClient
	refs    gitalypb.RefServiceClient
	commits gitalypb.CommitServiceClient
	edits   gitalypb.OperationServiceClient
	http    gitalypb.SmartHTTPServiceClient
	ssh     gitalypb.SSHServiceClient
	info    gitalypb.ServerServiceClient
}

func newClients(conn *grpc.ClientConn) *clients {
	return &clients{
		conn:    conn,
		repos:   gitalypb.NewRepositoryServiceClient(conn),
		refs:    gitalypb.NewRefServiceClient(conn),
		commits: gitalypb.NewCommitServiceClient(conn),
		edits:   gitalypb.NewOperationServiceClient(conn),
		http:    gitalypb.NewSmartHTTPServiceClient(conn),
		ssh:     gitalypb.NewSSHServiceClient(conn),
		info:    gitalypb.NewServerServiceClient(conn),
	}
}
