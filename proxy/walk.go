package proxy

import (
	"context"
	"errors"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/fsm/state"
	"praefect/proxy/router"
	"praefect/proxy/stream"
)

// walkRepos lists the repositories of a virtual storage: the ones that one serving storage finds on
// its disk, corrected where the ledger says that this storage may be wrong. A repository of which
// it misses a write, or which was deleted and is perhaps not yet gone, is listed if a storage in
// sync has it; then without a time if the disk does not have it.
//
// The view of before the walk decides. A repository that changes during it may be listed or not, as
// with any walk.
func (s *Server) walkRepos(r *request) error {
	vs := r.named.Storage
	view, conn, err := s.routeStorage(r)
	if conn == nil {
		return err
	}
	w := &walking{ServerStream: r.stream, server: s, ctx: r.ctx, vs: vs, doubtful: make(map[string]*doubt)}
	name := conn.Target().Storage
	view.Each(vs, func(k state.Key, e *state.Entry) bool {
		if e.Deleted || e.IsBehind(name) {
			w.doubtful[k.RelativePath] = &doubt{deleted: e.Deleted}
			w.order = append(w.order, k.RelativePath)
		}
		return true
	})
	r.stream = w
	return s.forward(r.ctx, r, conn, func(o stream.Outcome) error {
		if o.Err != nil || !o.Ended {
			return nil // it failed; there is nothing to complete
		}
		return w.complete()
	}).Err
}

// walking is the client's side of a walk.
type walking struct {
	grpc.ServerStream
	server   *Server
	ctx      context.Context
	vs       string
	doubtful map[string]*doubt // by relative path
	order    []string          // of the doubtful ones
}

// doubt is a repository of which the storage that is walked may be wrong.
type doubt struct {
	deleted bool // so says the ledger
	seen    bool // the storage has it
}

func (w *walking) SendMsg(m any) error {
	frame, ok := m.(*stream.Frame)
	if !ok || len(w.doubtful) == 0 {
		return w.ServerStream.SendMsg(m)
	}
	var found gitalypb.WalkReposResponse
	if err := decode(frame, &found); err != nil {
		return err
	}
	if d := w.doubtful[found.GetRelativePath()]; d != nil {
		d.seen = true
		exists, err := w.exists(found.GetRelativePath(), d)
		if err != nil || !exists {
			return err
		}
	}
	return w.ServerStream.SendMsg(m)
}

// complete lists the doubtful repositories that the storage does not have.
func (w *walking) complete() error {
	for _, path := range w.order {
		d := w.doubtful[path]
		if d.seen {
			continue
		}
		exists, err := w.exists(path, d)
		if err != nil {
			return err
		}
		if exists {
			if err := w.ServerStream.SendMsg(&gitalypb.WalkReposResponse{RelativePath: path}); err != nil {
				return err
			}
		}
	}
	return nil
}

// exists asks a storage in sync. A repository that no storage can serve is there
// unless it was deleted: it is not to be forgotten because it cannot be read.
func (w *walking) exists(path string, d *doubt) (bool, error) {
	exists, err := w.server.existsInSync(w.ctx, state.Key{VirtualStorage: w.vs, RelativePath: path})
	if refusal, ok := errors.AsType[*router.Refusal](err); ok && refusal.Kind == router.NoInSync {
		return !d.deleted, nil
	}
	return exists, err
}

// existsInSync asks storages that are in sync, one after the other, until one
// answers.
func (s *Server) existsInSync(ctx context.Context, key state.Key) (bool, error) {
	read := router.Read{Key: key}
	for {
		name, err := router.RouteRead(s.node.View(), read, s.reachabilityOf(key.VirtualStorage), s.intn)
		if err != nil {
			return false, err
		}
		read.Tried = append(read.Tried, name)
		conn, err := s.storages.Conn(key.VirtualStorage, name)
		if err != nil {
			continue
		}
		answer, err := gitalypb.NewRepositoryServiceClient(conn).RepositoryExists(ctx, &gitalypb.RepositoryExistsRequest{
			Repository: &gitalypb.Repository{StorageName: name, RelativePath: key.RelativePath},
		})
		if err == nil || status.Code(err) != codes.Unavailable {
			return answer.GetExists(), err
		}
	}
}
