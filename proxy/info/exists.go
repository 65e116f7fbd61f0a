package info

import (
	"context"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/fsm/state"
)

// exists asks the storages that are in sync for a repository, the primary first, until one says whether it has it.
func (s *Service) exists(ctx context.Context, vs *state.VirtualStorage, e *state.Entry, path string) (bool, error) {
	_, has, err := Exists(ctx, s.Storages, vs, e, path)
	return has, err
}

// Exists asks the storages that are in sync for a repository, the primary first, until one says whether it has it. storage
// is the last one that was asked. An error is a status.
func Exists(ctx context.Context, storages Storages, vs *state.VirtualStorage, e *state.Entry, path string) (storage string, has bool, err error) {
	err = status.Error(codes.Unavailable, "no storage of the repository serves; see `praefect dataloss`")
	for st := range vs.InSync(e) {
		conn, connErr := storages.Conn(vs.Name, st.Name)
		if connErr != nil {
			err = status.Errorf(codes.Unavailable, "no in-sync storage of the repository can be reached: %v", connErr)
			continue
		}
		var answer *gitalypb.RepositoryExistsResponse
		ctx, cancel := context.WithTimeout(ctx, lookTimeout)
		answer, err = gitalypb.NewRepositoryServiceClient(conn).RepositoryExists(ctx, &gitalypb.RepositoryExistsRequest{
			Repository: &gitalypb.Repository{StorageName: st.Name, RelativePath: path},
		})
		cancel()
		storage = st.Name
		if err == nil {
			return storage, answer.GetExists(), nil
		}
	}
	return storage, false, err
}
