package proxy

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/proxy/ledger"
	"praefect/proxy/method"
	"praefect/proxy/router"
	"praefect/proxy/storage"
)

// errNoRepository is the answer of a storage to the removal of an absent repository.
var errNoRepository = status.Error(codes.NotFound, "repository does not exist")

// checkDirectory looks, on an in-sync storage, at the target of a method that makes or removes a
// directory. A storage removes any directory that it is told to, and one wrong path is then removed
// from every storage. After an error nothing was entered in the ledger, and nothing was forwarded.
//
// A repository that no in-sync storage can be asked about is unavailable, never
// absent. The check waits for one as long as a write waits for a primary.
func (s *Server) checkDirectory(r *request) error {
	if r.method.Directory == method.DirectoryKept {
		return nil
	}
	path := r.keys[0].RelativePath
	if r.method.Directory == method.DirectoryMade {
		if err := method.ValidateNew(path); err != nil {
			return invalid(err)
		}
		if len(method.Above(path)) == 0 {
			return nil // the storage itself refuses if anything is at the path
		}
	}
	ctx, cancel := context.WithTimeout(r.ctx, s.cfg.InfoTimeout)
	defer cancel()
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, 500*time.Millisecond) {
		conn, err := s.knowing(r)
		if err == nil {
			err = lookAt(ctx, r, conn)
		}
		if err == nil || !askAgain(err) {
			return err
		}
		pause := time.NewTimer(wait/2 + rand.N(wait))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			if r.ctx.Err() != nil {
				return r.ctx.Err()
			}
			return err
		}
	}
}

// askAgain tells whether an error may pass: there is no lease, no in-sync storage
// can be reached, or the one that was asked was lost.
func askAgain(err error) bool {
	if refusal, ok := errors.AsType[*router.Refusal](err); ok {
		return refusal.Kind != router.UnknownVirtualStorage
	}
	switch status.Code(err) {
	case codes.Unavailable, codes.Canceled, codes.DeadlineExceeded:
		return true
	}
	return errors.Is(err, ledger.ErrNoLease) || errors.Is(err, storage.ErrUnreachable)
}

// knowing is the connection to a storage that knows whether the target exists.
func (s *Server) knowing(r *request) (*storage.Conn, error) {
	view, leased := s.ledger.Reading()
	key := r.keys[0]
	read := router.Read{Key: key}
	// ▲ TestRemoveRepository_unavailableIsNotAbsent: Of a repository that is listed in the ledger
	// only the primary knows for certain: a write of which nothing was acknowledged may be on the
	// other storages or not.
	read.PrimaryOnly = view.Entry(key) != nil
	name, err := router.RouteRead(view, read, s.reachabilityOf(key.VirtualStorage), s.intn)
	if err != nil {
		return nil, err
	}
	if !leased { // ▲ driver-read-without-lease: other instances may know of a repository that this view does not
		return nil, ledger.ErrNoLease
	}
	return s.storages.Conn(key.VirtualStorage, name)
}

// noAnswer is for calls of which no client has seen anything.
func noAnswer() bool { return false }

// lookAt judges the answers of a storage about the target.
func lookAt(ctx context.Context, r *request, conn *storage.Conn) error {
	ctx, done := conn.WhileAudible(ctx, noAnswer)
	defer done()
	at := looking{ctx: ctx, conn: conn}
	path := r.keys[0].RelativePath
	exists, err := at.exists(path)
	if err != nil {
		return err
	}
	switch {
	case r.method.Directory == method.DirectoryRemoved && !exists:
		return errNoRepository
	case r.method.Directory == method.DirectoryRemoved, exists:
		return nil
	}
	if err := method.ValidateNew(path); err != nil {
		return invalid(err)
	}
	for _, above := range method.Above(path) {
		inside, err := at.exists(above)
		if err != nil {
			return err
		}
		if inside {
			return invalid(fmt.Errorf("relative path %q is inside the repository %q", path, above))
		}
	}
	if r.method.Directory == method.DirectoryReplaced {
		return at.vacant(path)
	}
	return nil
}

// looking is a storage that is asked about the content of its disk.
type looking struct {
	ctx  context.Context
	conn *storage.Conn
}

// at names a path as the storage knows it.
func (l looking) at(path string) *gitalypb.Repository {
	return &gitalypb.Repository{StorageName: l.conn.Target().Storage, RelativePath: path}
}

func (l looking) exists(path string) (bool, error) {
	answer, err := gitalypb.NewRepositoryServiceClient(l.conn).RepositoryExists(l.ctx, &gitalypb.RepositoryExistsRequest{Repository: l.at(path)})
	if status.Code(err) == codes.NotFound {
		return false, nil
	}
	return answer.GetExists(), err
}

// vacant refuses a path at which there is a directory that is no repository, such
// as one that holds repositories: the storage would remove it. RepositoryExists does not tell it
// from nothing; a call that needs a repository does.
func (l looking) vacant(path string) error {
	_, err := gitalypb.NewRefServiceClient(l.conn).FindDefaultBranchName(l.ctx, &gitalypb.FindDefaultBranchNameRequest{Repository: l.at(path)})
	switch status.Code(err) {
	case codes.NotFound, codes.OK: // OK: a repository has just come into being
		return nil
	case codes.Unavailable, codes.Canceled, codes.DeadlineExceeded:
		return err
	}
	return invalid(fmt.Errorf("relative path %q is a directory with other content on storage %q: "+
		"move it away there, or name another path (the storage says: %v)", path, l.conn.Target().Storage, err))
}
