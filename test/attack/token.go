package main

import (
	"context"
	"crypto/sha1" // what git names a blob by
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"praefect/proxy/storage"
	"praefect/test/cluster"
	"praefect/test/workload"
)

// clients are how many calls of a client with the token are under way at once.
const clients = 16

// each makes n calls, and fails if one ends with another code.
func each(ctx context.Context, n int, want codes.Code, call func(i int) error) error {
	var running sync.WaitGroup
	var wrong atomic.Pointer[error]
	for c := range clients {
		running.Go(func() {
			for i := c; i < n && ctx.Err() == nil && wrong.Load() == nil; i += clients {
				if err := call(i); status.Code(err) != want && ctx.Err() == nil {
					err = fmt.Errorf("call %d ended with %w, want %v", i, err, want)
					wrong.Store(&err)
				}
			}
		})
	}
	running.Wait()
	if err := wrong.Load(); err != nil {
		return *err
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%d calls have not ended in time", n)
	}
	return nil
}

// inventedMethods calls 20,000 methods that do not exist, none of which becomes a label.
func inventedMethods(ctx context.Context, w *harness) error {
	err := each(ctx, 20_000, codes.Unimplemented, func(i int) error {
		return w.victim.Conn().Invoke(ctx, fmt.Sprintf("/gitaly.Invented%d/Method%d", i, i), &emptypb.Empty{}, &emptypb.Empty{})
	})
	if err != nil {
		return err
	}
	metrics, err := w.victim.Metrics(ctx)
	if err != nil {
		return err
	}
	for series := range metrics {
		if strings.Contains(series, "Invented") {
			return fmt.Errorf("an invented name is a label: %s", series)
		}
	}
	return nil
}

// senselessRemovals removes directories that are no repositories, and absent repositories. None
// is entered in the ledger, and the clients go on reading the virtual storage below.
func senselessRemovals(ctx context.Context, w *harness) error {
	remove := func(path string) error {
		_, err := gitalypb.NewRepositoryServiceClient(w.victim.Conn()).RemoveRepository(ctx, &gitalypb.RemoveRepositoryRequest{
			Repository: &gitalypb.Repository{StorageName: virtualStorage, RelativePath: path},
		})
		return err
	}
	reserved := []string{"@hashed", "@hashed/ab", "+gitaly", ".gitaly-metadata", w.seeds.Paths()[0] + "/objects"}
	if err := each(ctx, 100, codes.InvalidArgument, func(i int) error { return remove(reserved[i%len(reserved)]) }); err != nil {
		return err
	}
	if err := each(ctx, 100, codes.NotFound, func(int) error { return remove("group") }); err != nil {
		return err
	}
	if err := each(ctx, 5000, codes.NotFound, func(i int) error { return remove(fmt.Sprintf("absent/%d.git", i)) }); err != nil {
		return err
	}
	behind, err := workload.Behind(ctx, w.c, virtualStorage)
	if err == nil && len(behind) > 0 {
		err = fmt.Errorf("%d repositories are in the ledger", len(behind))
	}
	return err
}

// endlessDeadlines begins writes that may take 50 years, and 11,000, and goes. A write of the
// same repository succeeds then.
func endlessDeadlines(ctx context.Context, w *harness) error {
	path := w.seeds.Paths()[writers]
	header, err := proto.Marshal(&gitalypb.UserCommitFilesRequest{UserCommitFilesRequestPayload: &gitalypb.UserCommitFilesRequest_Header{
		Header: &gitalypb.UserCommitFilesRequestHeader{
			Repository: &gitalypb.Repository{StorageName: virtualStorage, RelativePath: path},
			User:       &gitalypb.User{GlId: "user-1", Name: []byte("A"), Email: []byte("a@example.org")}, BranchName: []byte("never"), CommitMessage: []byte("never"),
		},
	}})
	if err != nil {
		return err
	}
	message := append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(header))), header...)
	for _, timeout := range []string{"438000H", "99999999H"} { // 50 years, and the longest that there is
		for range 4 {
			a, err := dialHTTP2(ctx, w.victim.Addr)
			if err != nil {
				return err
			}
			for range 25 {
				id, err := a.Open(gitalypb.OperationService_UserCommitFiles_FullMethodName, storage.Token(w.c.Token, time.Now()),
					hpack.HeaderField{Name: "grpc-timeout", Value: timeout})
				if err == nil {
					err = a.Framer.WriteData(id, false, message)
				}
				if err != nil {
					return err
				}
			}
			workload.Wait(ctx, time.Second)
			_ = a.Close()
		}
	}
	client := workload.Client{Conn: w.victim.Conn(), VirtualStorage: virtualStorage}
	return client.Point(ctx, path, "refs/heads/after", w.seeds.Values()[0], "")
}

// blobSize is more than lies on the way to a client that reads nothing.
const blobSize = 16 << 20

// slowReaders reads nothing of 500 streams: the instance ends each of them.
func slowReaders(ctx context.Context, w *harness) error {
	const streams, connections, held = 500, 5, 15 * time.Second
	repo := &gitalypb.Repository{StorageName: virtualStorage, RelativePath: w.seeds.Paths()[writers]}
	content := make([]byte, blobSize)
	binary.BigEndian.PutUint64(content, uint64(time.Now().UnixNano()))
	oid := fmt.Sprintf("%x", sha1.Sum(fmt.Appendf(nil, "blob %d\x00%s", len(content), content)))
	if err := commitBlob(ctx, w.victim.Conn(), repo, content); err != nil {
		return err
	}
	var open []gitalypb.BlobService_GetBlobClient
	for range connections {
		conn, err := cluster.Dial(w.victim.Addr, w.c.Token)
		if err != nil {
			return err
		}
		defer conn.Close()
		for range streams / connections {
			s, err := gitalypb.NewBlobServiceClient(conn).GetBlob(ctx, &gitalypb.GetBlobRequest{Repository: repo, Oid: oid, Limit: -1})
			if err == nil {
				_, err = s.Recv()
			}
			if err != nil {
				return fmt.Errorf("read a blob: %w", err)
			}
			open = append(open, s)
		}
	}
	workload.Wait(ctx, held)
	whole := 0
	for _, s := range open {
		var err error
		for err == nil {
			_, err = s.Recv()
		}
		if errors.Is(err, io.EOF) {
			whole++
		}
	}
	if whole > 0 {
		return fmt.Errorf("%d of %d streams that nobody read were kept for %v", whole, len(open), held)
	}
	return nil
}

// commitBlob adds a file.
func commitBlob(ctx context.Context, conn *grpc.ClientConn, repo *gitalypb.Repository, content []byte) error {
	stream, err := gitalypb.NewOperationServiceClient(conn).UserCommitFiles(ctx)
	if err != nil {
		return err
	}
	send := func(r *gitalypb.UserCommitFilesRequest) {
		if err == nil {
			err = stream.Send(r)
		}
	}
	action := func(a *gitalypb.UserCommitFilesAction) {
		send(&gitalypb.UserCommitFilesRequest{UserCommitFilesRequestPayload: &gitalypb.UserCommitFilesRequest_Action{Action: a}})
	}
	send(&gitalypb.UserCommitFilesRequest{UserCommitFilesRequestPayload: &gitalypb.UserCommitFilesRequest_Header{
		Header: &gitalypb.UserCommitFilesRequestHeader{
			Repository: repo, User: &gitalypb.User{GlId: "user-1", GlUsername: "author", Name: []byte("A"), Email: []byte("a@example.org")},
			BranchName: []byte("large"), CommitMessage: []byte("large"), Timestamp: timestamppb.Now(),
		},
	}})
	action(&gitalypb.UserCommitFilesAction{UserCommitFilesActionPayload: &gitalypb.UserCommitFilesAction_Header{
		Header: &gitalypb.UserCommitFilesActionHeader{Action: gitalypb.UserCommitFilesActionHeader_CREATE, FilePath: fmt.Appendf(nil, "large-%x", content[:8])},
	}})
	for rest := content; len(rest) > 0; {
		n := min(1<<20, len(rest))
		action(&gitalypb.UserCommitFilesAction{UserCommitFilesActionPayload: &gitalypb.UserCommitFilesAction_Content{Content: rest[:n]}})
		rest = rest[n:]
	}
	if err != nil && !errors.Is(err, io.EOF) { // which the answer explains
		return fmt.Errorf("commit a large file: %w", err)
	}
	answer, err := stream.CloseAndRecv()
	if err == nil && answer.GetIndexError()+answer.GetPreReceiveError() != "" {
		err = errors.New(answer.GetIndexError() + answer.GetPreReceiveError())
	}
	if err != nil {
		return fmt.Errorf("commit a large file: %w", err)
	}
	return nil
}
