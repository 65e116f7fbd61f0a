package info

import (
	"context"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"praefect/fsm/state"
)

func errNotFound() error { return status.Error(codes.NotFound, "repository not found") }

// noPostgres is the error of a request that needs a record in Postgres.
func noPostgres(err error) error {
	return status.Errorf(codes.Unavailable, "the numbers of repositories are in Postgres, which cannot be asked now; name the repository by its path, or try again: %v", err)
}

// GetRepositoryMetadata tells how the replicas of one repository are.
func (s *Service) GetRepositoryMetadata(ctx context.Context, r *gitalypb.GetRepositoryMetadataRequest) (*gitalypb.GetRepositoryMetadataResponse, error) {
	switch q := r.GetQuery().(type) {
	case *gitalypb.GetRepositoryMetadataRequest_RepositoryId:
		return s.byID(ctx, q.RepositoryId)
	case *gitalypb.GetRepositoryMetadataRequest_Path_:
		return s.byPath(ctx, state.Key{VirtualStorage: q.Path.GetVirtualStorage(), RelativePath: q.Path.GetRelativePath()})
	}
	return nil, status.Error(codes.InvalidArgument, "the request names no repository: it takes an id or a path")
}

func (s *Service) byID(ctx context.Context, id int64) (*gitalypb.GetRepositoryMetadataResponse, error) {
	found, ok, err := s.Catalogue.ByID(ctx, id)
	if err != nil {
		return nil, noPostgres(err)
	}
	view := s.Node.View()
	vs := view.VirtualStorage(found.VirtualStorage)
	if !ok || vs == nil {
		return nil, errNotFound()
	}
	// The catalogue may not have heard yet that it was removed.
	if has, err := s.exists(ctx, vs, view.Entry(found.Key), found.RelativePath); err == nil && !has {
		return nil, errNotFound()
	}
	return s.metadata(vs, view.Entry(found.Key), found), nil
}

func (s *Service) byPath(ctx context.Context, key state.Key) (*gitalypb.GetRepositoryMetadataResponse, error) {
	view := s.Node.View()
	vs := view.VirtualStorage(key.VirtualStorage)
	if vs == nil {
		return nil, errNotFound()
	}
	if err := valid(key); err != nil {
		return nil, err
	}
	entry := view.Entry(key)
	has, lookErr := s.exists(ctx, vs, entry, key.RelativePath)
	if lookErr == nil && !has {
		return nil, errNotFound()
	}
	bounded, cancel := context.WithTimeout(ctx, catalogueTimeout)
	defer cancel()
	found, ok, err := Repository{}, true, error(nil)
	if has {
		found, err = s.Catalogue.Ensure(bounded, key)
	} else { // nobody could say: it is there if anything is known of it
		found, ok, err = s.Catalogue.Find(bounded, key)
		if !ok && (entry == nil || entry.Deleted) {
			return nil, lookErr
		}
	}
	if err != nil {
		s.Log.Warn("repository metadata without its number: postgres cannot be asked", "virtual_storage", key.VirtualStorage, "relative_path", key.RelativePath, "err", err)
		found = Repository{}
	}
	found.Key = key
	return s.metadata(vs, entry, found), nil
}

func (s *Service) metadata(vs *state.VirtualStorage, e *state.Entry, found Repository) *gitalypb.GetRepositoryMetadataResponse {
	primary, _ := vs.Primary(e)
	answer := &gitalypb.GetRepositoryMetadataResponse{
		RepositoryId: found.ID, VirtualStorage: found.VirtualStorage, RelativePath: found.RelativePath, ReplicaPath: found.RelativePath,
		Primary: primary.Name, Generation: generation(e),
	}
	for _, st := range sorted(vs) {
		healthy := s.healthy(vs.Name, st.Name)
		replica := &gitalypb.GetRepositoryMetadataResponse_Replica{
			Storage: st.Name, Assigned: true, Generation: generationOn(st, e),
			Healthy: healthy, ValidPrimary: validPrimary(st, e, healthy),
		}
		if at, verified := found.Verified[st.Name]; verified {
			replica.VerifiedAt = timestamppb.New(at)
		}
		answer.Replicas = append(answer.Replicas, replica)
	}
	return answer
}

// generation stands for a number that grows with each write, which we do not keep: the index of the last change of the
// repository's entry, 0 for one that has none because all replicas are equal.
func generation(e *state.Entry) int64 {
	if e == nil {
		return 0
	}
	return int64(e.Changed)
}

// generationOn is less than generation where a replica misses a write, how many is not known; and -1 where there may be
// no replica yet.
func generationOn(st *state.Storage, e *state.Entry) int64 {
	switch {
	case st.State == state.Backfilling:
		return -1
	case e.IsBehind(st.Name):
		return generation(e) - 1
	}
	return generation(e)
}
