package info

import (
	"context"
	"fmt"
	"time"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/fsm/state"
)

// SetAuthoritativeStorage declares one storage's replica the right one, and returns when that is agreed.
func (s *Service) SetAuthoritativeStorage(ctx context.Context, r *gitalypb.SetAuthoritativeStorageRequest) (*gitalypb.SetAuthoritativeStorageResponse, error) {
	key := state.Key{VirtualStorage: r.GetVirtualStorage(), RelativePath: r.GetRelativePath()}
	view := s.Node.View()
	vs := view.VirtualStorage(key.VirtualStorage)
	switch {
	case vs == nil:
		return nil, status.Errorf(codes.InvalidArgument, "unknown virtual storage: %q", key.VirtualStorage)
	case vs.Storage(r.GetAuthoritativeStorage()) == nil:
		return nil, status.Errorf(codes.InvalidArgument, "unknown authoritative storage: %q", r.GetAuthoritativeStorage())
	}
	if err := valid(key); err != nil {
		return nil, err
	}
	if view.Entry(key) == nil { // of one that has an entry something is to be decided
		if has, err := s.exists(ctx, vs, nil, key.RelativePath); err == nil && !has {
			return nil, status.Error(codes.InvalidArgument, "repository does not exist on virtual storage")
		}
	}
	if s.MayAcceptLoss != nil { // before anything waits for a caller that may not
		if err := s.MayAcceptLoss(ctx, key, r.GetAuthoritativeStorage()); err != nil {
			return nil, err
		}
	}
	s.awaitQuiet(ctx, key)
	if err := s.AcceptLoss(ctx, key, r.GetAuthoritativeStorage()); err != nil {
		return nil, err
	}
	return &gitalypb.SetAuthoritativeStorageResponse{}, nil
}

// awaitQuiet waits a while for the end of the writes of a repository, which may
// seem to be under way for some seconds after the last one: until then the loss of
// others cannot be accepted.
func (s *Service) awaitQuiet(ctx context.Context, key state.Key) {
	ctx, cancel := context.WithTimeout(ctx, quietTimeout)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for s.Node.View().Entry(key).HasLive() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// MarkUnverified forgets when replicas were verified, and has them verified before all others.
func (s *Service) MarkUnverified(ctx context.Context, r *gitalypb.MarkUnverifiedRequest) (*gitalypb.MarkUnverifiedResponse, error) {
	var key state.Key
	var storage string
	switch selector := r.GetSelector().(type) {
	case *gitalypb.MarkUnverifiedRequest_RepositoryId:
		found, ok, err := s.Catalogue.ByID(ctx, selector.RepositoryId)
		if err != nil {
			return nil, noPostgres(err)
		}
		if !ok {
			return &gitalypb.MarkUnverifiedResponse{}, nil
		}
		key = found.Key
	case *gitalypb.MarkUnverifiedRequest_VirtualStorage:
		key.VirtualStorage = selector.VirtualStorage
	case *gitalypb.MarkUnverifiedRequest_Storage_:
		key.VirtualStorage, storage = selector.Storage.GetVirtualStorage(), selector.Storage.GetStorage()
		if storage == "" {
			return nil, status.Error(codes.InvalidArgument, "no storage is named")
		}
	default:
		return nil, status.Error(codes.InvalidArgument, "the request names no replicas: it takes a repository id, a virtual storage or a storage")
	}
	vs := s.Node.View().VirtualStorage(key.VirtualStorage)
	if vs == nil {
		return nil, status.Errorf(codes.InvalidArgument, "unknown virtual storage: %q", key.VirtualStorage)
	}
	each := int64(len(vs.Succession))
	if storage != "" {
		each = 1
		if vs.Storage(storage) == nil {
			return nil, status.Errorf(codes.InvalidArgument, "unknown storage: %q", storage)
		}
	}
	repositories, err := s.Catalogue.MarkUnverified(ctx, key, storage)
	if err != nil {
		return nil, status.Errorf(codes.Unavailable, "when replicas were verified is in Postgres, which cannot be asked now: %v", err)
	}
	return &gitalypb.MarkUnverifiedResponse{ReplicasMarked: repositories * each}, nil
}

// SetReplicationFactor agrees to the only factor there is: every storage has every repository.
func (s *Service) SetReplicationFactor(ctx context.Context, r *gitalypb.SetReplicationFactorRequest) (*gitalypb.SetReplicationFactorResponse, error) {
	wanted, key := int(r.GetReplicationFactor()), state.Key{VirtualStorage: r.GetVirtualStorage(), RelativePath: r.GetRelativePath()}
	view := s.Node.View()
	vs := view.VirtualStorage(key.VirtualStorage)
	refuse := func(code codes.Code, format string, args ...any) (*gitalypb.SetReplicationFactorResponse, error) {
		return nil, status.Error(code, "set replication factor: "+fmt.Sprintf(format, args...))
	}
	switch {
	case vs == nil:
		return refuse(codes.InvalidArgument, "virtual storage %q not found", key.VirtualStorage)
	case wanted < 1:
		return refuse(codes.InvalidArgument, "attempted to set replication factor %d but minimum is 1", wanted)
	case wanted > len(vs.Succession):
		return refuse(codes.InvalidArgument, "attempted to set replication factor %d but virtual storage only contains %d storages", wanted, len(vs.Succession))
	}
	if err := valid(key); err != nil {
		return nil, err
	}
	if has, err := s.exists(ctx, vs, view.Entry(key), key.RelativePath); err == nil && !has {
		return refuse(codes.InvalidArgument, "repository %q/%q not found", key.VirtualStorage, key.RelativePath)
	}
	if wanted < len(vs.Succession) {
		return refuse(codes.FailedPrecondition, "this version keeps every repository on all %d storages of %q: fewer replicas are not possible", len(vs.Succession), vs.Name)
	}
	answer := &gitalypb.SetReplicationFactorResponse{}
	for _, st := range sorted(vs) {
		answer.Storages = append(answer.Storages, st.Name)
	}
	return answer, nil
}
