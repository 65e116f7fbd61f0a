// Package info owns gitaly.PraefectInfoService, by which GitLab and operators ask about
// repositories: the place and health of their replicas, lost writes, and the number of a
// repository.
//
// It promises that its answers about replicas come from the replicated state and need no Postgres;
// only the numbers of repositories, and the times of their last verification, do. A call that loses
// data needs the proof of an operator.
//
// The proxy registers it on its listeners, behind its authentication.
package info

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"time"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/fsm/state"
	"praefect/proxy/method"
)

// Node is the part of the consensus node that the service needs.
type Node interface {
	// View is the replicated state as this instance has applied it.
	View() *state.State
}

// Storages are the connections to the storages.
type Storages interface {
	// Conn returns the connection to a storage; it fails while the storage cannot be reached, or has another disk than the
	// agreed one, and does not block.
	Conn(virtualStorage, storage string) (grpc.ClientConnInterface, error)
}

// Repository is the record of a repository in the catalogue.
type Repository struct {
	ID int64
	state.Key
	// Verified is when the replica on each storage was last verified; one that is not here is unverified.
	Verified map[string]time.Time
}

// Catalogue gives repositories their numbers. It may lack repositories, and have some that are gone. Each call may fail
// while Postgres is away.
type Catalogue interface {
	// Ensure returns the entry of a repository, and makes one if there is none.
	Ensure(ctx context.Context, key state.Key) (Repository, error)
	// Find returns the entry of a repository, if there is one, ByID that with a number.
	Find(ctx context.Context, key state.Key) (r Repository, found bool, err error)
	ByID(ctx context.Context, id int64) (r Repository, found bool, err error)
	// MarkUnverified forgets when replicas were verified, and has them verified before all others: the replicas of one repository,
	// or without a path the replicas of a virtual storage, of all its storages or of one. It returns how many repositories these
	// are.
	MarkUnverified(ctx context.Context, key state.Key, storage string) (repositories int64, err error)
}

// Deps are the dependencies of a Service. All are needed.
type Deps struct {
	Node      Node
	Storages  Storages
	Catalogue Catalogue
	// MayAcceptLoss tells whether the caller may have AcceptLoss do that. Its
	// errors are statuses. It may be nil, and then AcceptLoss alone judges.
	MayAcceptLoss func(ctx context.Context, key state.Key, storage string) error
	// AcceptLoss declares a storage's replica the right one, if the caller shows that it may: ctx is that of the call.
	// It returns when that is applied. Its errors are statuses.
	AcceptLoss func(ctx context.Context, key state.Key, storage string) error
	Log        *slog.Logger
}

// Service answers gitaly.PraefectInfoService.
type Service struct {
	gitalypb.UnimplementedPraefectInfoServiceServer
	Deps
}

// New makes a Service.
func New(deps Deps) *Service { return &Service{Deps: deps} }

// Register adds the service to a gRPC server.
func (s *Service) Register(r grpc.ServiceRegistrar) { gitalypb.RegisterPraefectInfoServiceServer(r, s) }

const (
	// lookTimeout bounds a question to one storage.
	lookTimeout = 10 * time.Second
	// quietTimeout bounds the wait for the end of a repository's writes.
	quietTimeout = 10 * time.Second
	// catalogueTimeout bounds a question to Postgres whose answer only adds to the rest.
	catalogueTimeout = 3 * time.Second
)

// valid refuses a name that no repository can have.
func valid(key state.Key) error {
	if err := (method.Repository{StorageName: key.VirtualStorage, RelativePath: key.RelativePath}).Validate(); err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	return nil
}

// healthy tells whether a storage can be called now.
func (s *Service) healthy(virtualStorage, storage string) bool {
	_, err := s.Storages.Conn(virtualStorage, storage)
	return err == nil
}

// validPrimary tells whether a storage could be the repository's primary now.
func validPrimary(st *state.Storage, e *state.Entry, healthy bool) bool {
	return healthy && st.State == state.Serving && !e.IsBehind(st.Name)
}

// sorted are the storages of a virtual storage by name.
func sorted(vs *state.VirtualStorage) []*state.Storage {
	list := make([]*state.Storage, len(vs.Succession))
	for i := range vs.Succession {
		list[i] = &vs.Succession[i]
	}
	slices.SortFunc(list, func(a, b *state.Storage) int { return strings.Compare(a.Name, b.Name) })
	return list
}
