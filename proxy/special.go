package proxy

import (
	"errors"
	"regexp"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"praefect/proxy/stream"
)

// existsMethod asks whether a repository exists.
const existsMethod = gitalypb.RepositoryService_RepositoryExists_FullMethodName

// special returns how a method is handled for which its kind does not say all,
// nil for any other.
func (s *Server) special(name string) func(*request) error {
	switch name {
	case existsMethod:
		return s.repositoryExists
	case gitalypb.ObjectPoolService_DeleteObjectPool_FullMethodName:
		return s.deleteObjectPool
	case gitalypb.ObjectPoolService_GetObjectPool_FullMethodName:
		return s.getObjectPool
	case gitalypb.InternalGitaly_WalkRepos_FullMethodName:
		return s.walkRepos
	}
	return nil
}

// repositoryExists is a read like any other: there is no list of repositories to
// answer from, and a storage in sync knows. Only a request that names no virtual storage of ours is
// answered here, as upstream does.
func (s *Server) repositoryExists(r *request) error {
	if s.node.View().VirtualStorage(r.named.Target.StorageName) == nil {
		return r.stream.SendMsg(&gitalypb.RepositoryExistsResponse{})
	}
	return s.read(r)
}

// poolPath matches the path of an object pool that Rails has made.
var poolPath = regexp.MustCompile(`^@pools/([0-9a-f]{2})/([0-9a-f]{2})/([0-9a-f]{64})\.git$`)

func isPoolPath(path string) bool {
	m := poolPath.FindStringSubmatch(path)
	return m != nil && m[3][:4] == m[1]+m[2]
}

// deleteObjectPool deletes pools and nothing else; one that is absent is deleted
// already.
func (s *Server) deleteObjectPool(r *request) error {
	if !isPoolPath(r.named.Target.RelativePath) {
		return invalid(errors.New("invalid object pool directory"))
	}
	err := s.mutate(r)
	if status.Code(err) == codes.NotFound {
		return r.stream.SendMsg(&gitalypb.DeleteObjectPoolResponse{}) // nothing was sent beside an error
	}
	return err
}

// getObjectPool answers with the name that the client knows the storage by.
func (s *Server) getObjectPool(r *request) error {
	r.stream = poolStream{ServerStream: r.stream, virtualStorage: r.named.Target.StorageName}
	return s.read(r)
}

// poolStream puts the virtual storage into the place of the storage in answers of
// GetObjectPool.
type poolStream struct {
	grpc.ServerStream
	virtualStorage string
}

func (s poolStream) SendMsg(m any) error {
	frame, ok := m.(*stream.Frame)
	if !ok {
		return s.ServerStream.SendMsg(m)
	}
	var answer gitalypb.GetObjectPoolResponse
	if err := decode(frame, &answer); err != nil {
		return err
	}
	if repo := answer.GetObjectPool().GetRepository(); repo != nil {
		repo.StorageName = s.virtualStorage
	}
	return s.ServerStream.SendMsg(&answer)
}

// decode reads an answer of a storage, of which nothing is lost that we do not
// know.
func decode(frame *stream.Frame, into proto.Message) error {
	if err := proto.Unmarshal(frame.Data().Materialize(), into); err != nil {
		return status.Errorf(codes.Internal, "the storage's answer: %v", err)
	}
	return nil
}
