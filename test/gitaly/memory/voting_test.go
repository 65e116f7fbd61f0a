package memory_test

import (
	"context"
	"errors"
	"io"
	"testing"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/proxy/channel"
	"praefect/test/gitaly/gitalytest"
	"praefect/test/gitaly/memory"
	"praefect/test/must"
)

func TestServer_faultyVotes(t *testing.T) {
	_, address, server := start(t, memory.Config{})
	coordinator := &gitalytest.Coordinator{}
	repos := gitalypb.NewRepositoryServiceClient(gitalytest.DialVoting(t, address, "", coordinator))
	create := func(id uint64, path string) error {
		_, err := repos.CreateRepository(gitalytest.InTransaction(t, t.Context(), id, "one", true), &gitalypb.CreateRepositoryRequest{
			Repository: &gitalypb.Repository{StorageName: "one", RelativePath: path},
		})
		return err
	}
	must.Succeed(t, server.SetFaults(memory.Fault{Prefix: "b/", Vote: "differ"}, memory.Fault{Prefix: "c/", StopAt: "before-committed"}))
	for id, path := range []string{"a/a.git", "b/a.git"} {
		if err := create(uint64(id), path); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	if coordinator.Votes(0, "one")[0].Hash == coordinator.Votes(1, "one")[0].Hash {
		t.Error("the faulty vote is that of the other repository")
	}
	if err := create(2, "c/a.git"); status.Code(err) != codes.Unavailable {
		t.Errorf("stopped server: got %v, want Unavailable", err)
	}
	if err := server.SetFaults(memory.Fault{Vote: "sometimes"}); err == nil {
		t.Error("unknown fault: got no error")
	}
}

func TestServer_sidechannels(t *testing.T) {
	const size = 1 << 20
	direct, address, _ := start(t, memory.Config{PackSize: size})
	repo := &gitalypb.Repository{StorageName: "one", RelativePath: "a.git"}
	if _, err := gitalypb.NewRepositoryServiceClient(direct).CreateRepository(t.Context(), &gitalypb.CreateRepositoryRequest{Repository: repo}); err != nil {
		t.Fatal(err)
	}
	var waiting channel.Registry
	conn := gitalytest.DialChannel(t, address, "", channel.Client{Sidechannels: &waiting})
	receive := func(call func(context.Context) error) (received int64, err error) {
		ctx, waiter := waiting.Expect(t.Context(), func(_ context.Context, side *channel.ClientEnd) error {
			_, err := io.WriteString(side, "0000")
			if err == nil {
				err = side.CloseWrite()
			}
			if err != nil {
				return err
			}
			received, err = io.Copy(io.Discard, side)
			return err
		})
		err = call(ctx)
		return received, errors.Join(err, waiter.Close())
	}
	received, err := receive(func(ctx context.Context) error {
		_, err := gitalypb.NewSmartHTTPServiceClient(conn).PostUploadPackWithSidechannel(ctx, &gitalypb.PostUploadPackWithSidechannelRequest{Repository: repo})
		return err
	})
	if err != nil || received != size {
		t.Errorf("HTTP: got %d bytes, %v, want %d", received, err, size)
	}
	received, err = receive(func(ctx context.Context) error {
		_, err := gitalypb.NewSSHServiceClient(conn).SSHUploadPackWithSidechannel(ctx, &gitalypb.SSHUploadPackWithSidechannelRequest{Repository: repo})
		return err
	})
	if err != nil || received <= size || received > size+size/1000 {
		t.Errorf("SSH: got %d bytes, %v, want %d and a little for each packet", received, err, size)
	}
}
