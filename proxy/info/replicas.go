package info

import (
	"context"
	"fmt"
	"sync"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/fsm/state"
)

// RepositoryReplicas tells the checksum of each replica. That of the primary must be had; a replica that cannot be asked,
// or is not there, has none.
func (s *Service) RepositoryReplicas(ctx context.Context, r *gitalypb.RepositoryReplicasRequest) (*gitalypb.RepositoryReplicasResponse, error) {
	asked := r.GetRepository()
	key := state.Key{VirtualStorage: asked.GetStorageName(), RelativePath: asked.GetRelativePath()}
	if err := valid(key); err != nil {
		return nil, err
	}
	view := s.Node.View()
	vs := view.VirtualStorage(key.VirtualStorage)
	if vs == nil {
		return nil, status.Error(codes.InvalidArgument, "storage name not found")
	}
	primary, _ := vs.Primary(view.Entry(key))
	if primary.Name == "" {
		return nil, status.Error(codes.Unavailable, "no storage has every acknowledged write of the repository and serves; see `praefect dataloss`")
	}
	details := func(storage, checksum string) *gitalypb.RepositoryReplicasResponse_RepositoryDetails {
		return &gitalypb.RepositoryReplicasResponse_RepositoryDetails{
			Repository: &gitalypb.Repository{
				StorageName: storage, RelativePath: key.RelativePath,
				GlRepository: asked.GetGlRepository(), GlProjectPath: asked.GetGlProjectPath(),
			},
			Checksum: checksum,
		}
	}
	storages := sorted(vs)
	sums, errs := make([]string, len(storages)), make([]error, len(storages))
	var all sync.WaitGroup
	for i, st := range storages {
		all.Go(func() { sums[i], errs[i] = s.checksum(ctx, key, st.Name) })
	}
	all.Wait()
	answer := &gitalypb.RepositoryReplicasResponse{}
	for i, st := range storages {
		switch {
		case st.Name == primary.Name && errs[i] != nil:
			return nil, errs[i]
		case st.Name == primary.Name:
			answer.Primary = details(st.Name, sums[i])
			continue
		case errs[i] != nil:
			s.Log.Warn("a replica has no checksum", "virtual_storage", key.VirtualStorage, "relative_path", key.RelativePath, "storage", st.Name, "err", errs[i])
		}
		answer.Replicas = append(answer.Replicas, details(st.Name, sums[i]))
	}
	return answer, nil
}

// checksum asks one storage. Its error is a status of the storage's code.
func (s *Service) checksum(ctx context.Context, key state.Key, storage string) (string, error) {
	conn, err := s.Storages.Conn(key.VirtualStorage, storage)
	if err != nil {
		return "", status.Error(codes.Unavailable, err.Error())
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	answer, err := gitalypb.NewRepositoryServiceClient(conn).CalculateChecksum(ctx, &gitalypb.CalculateChecksumRequest{
		Repository: &gitalypb.Repository{StorageName: storage, RelativePath: key.RelativePath},
	})
	if err != nil {
		return "", status.Error(status.Code(err), fmt.Sprintf("checksum on storage %q: %s", storage, status.Convert(err).Message()))
	}
	return answer.GetChecksum(), nil
}
