package replicator

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"praefect/fsm/state"
	"praefect/replicator/plan"
)

// calls are the RPCs that repairs make. Each error names the storage.
type calls struct {
	storages Storages
	watch    Watch
	// lookTimeout bounds one RPC that changes nothing, and the wait for the next
	// answer of a walk.
	lookTimeout time.Duration
}

// reachable reports whether the storage can be called, and is the disk that the
// state speaks of.
func (c *calls) reachable(virtualStorage, storage string) bool {
	_, err := c.storages.Conn(virtualStorage, storage)
	return err == nil
}

// rpc makes an RPC about the replica of a storage.
type rpc func(ctx context.Context, conn grpc.ClientConnInterface, repo *gitalypb.Repository) error

// look makes one RPC that changes nothing.
func (c *calls) look(ctx context.Context, key state.Key, storage, what string, call rpc) error {
	conn, err := c.storages.Conn(key.VirtualStorage, storage)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, c.lookTimeout)
	defer cancel()
	if err := call(ctx, conn, repository(key, storage)); err != nil {
		return fmt.Errorf("%s %q: %w", what, storage, err)
	}
	return nil
}

// change makes one RPC that changes a replica. ctx carries the deadline that the intent records.
// ended tells whether nothing of it can happen any more.
func (c *calls) change(ctx context.Context, key state.Key, storage, what string, call rpc) (ended bool, err error) {
	conn, err := c.storages.Conn(key.VirtualStorage, storage)
	if err != nil {
		return true, err
	}
	ctx, arrived := c.watch(ctx)
	err = call(ctx, conn, repository(key, storage))
	if ended = arrived(err); err != nil {
		return ended, fmt.Errorf("%s %q: %w", what, storage, err)
	}
	return ended, nil
}

// exists asks a storage whether it has the repository.
func (c *calls) exists(ctx context.Context, key state.Key, storage string) (has bool, err error) {
	err = c.look(ctx, key, storage, "look for the repository on", func(ctx context.Context, conn grpc.ClientConnInterface, repo *gitalypb.Repository) error {
		answer, err := gitalypb.NewRepositoryServiceClient(conn).RepositoryExists(ctx, &gitalypb.RepositoryExistsRequest{Repository: repo})
		has = answer.GetExists()
		return err
	})
	return has, err
}

// size asks a storage how many bytes the repository takes there.
func (c *calls) size(ctx context.Context, key state.Key, storage string) (bytes int64, err error) {
	err = c.look(ctx, key, storage, "measure the repository on", func(ctx context.Context, conn grpc.ClientConnInterface, repo *gitalypb.Repository) error {
		answer, err := gitalypb.NewRepositoryServiceClient(conn).RepositorySize(ctx, &gitalypb.RepositorySizeRequest{Repository: repo})
		bytes = answer.GetSize() << 10
		return err
	})
	return bytes, err
}

// replicate makes the target's replica equal to the source's; the target
// fetches from there. ctx and ended are as in change.
func (c *calls) replicate(ctx context.Context, key state.Key, source, target string) (ended bool, err error) {
	address, token := c.storages.Server(key.VirtualStorage, source)
	header, err := serversHeader(source, address, token)
	if err != nil {
		return true, err
	}
	ctx = metadata.AppendToOutgoingContext(ctx, "gitaly-servers", header)
	return c.change(ctx, key, target, fmt.Sprintf("replicate from %q to", source), func(ctx context.Context, conn grpc.ClientConnInterface, repo *gitalypb.Repository) error {
		_, err := gitalypb.NewRepositoryServiceClient(conn).ReplicateRepository(ctx, &gitalypb.ReplicateRepositoryRequest{
			Repository: repo, Source: repository(key, source),
		})
		return err
	})
}

// optimize has a storage do the housekeeping of a replica: Gitaly removes there the
// locks that git left when it was killed. ctx and ended are as in change.
func (c *calls) optimize(ctx context.Context, key state.Key, storage string) (ended bool, err error) {
	ended, err = c.change(ctx, key, storage, "do the housekeeping of the replica on", func(ctx context.Context, conn grpc.ClientConnInterface, repo *gitalypb.Repository) error {
		_, err := gitalypb.NewRepositoryServiceClient(conn).OptimizeRepository(ctx, &gitalypb.OptimizeRepositoryRequest{Repository: repo})
		return err
	})
	if code := status.Code(err); ended && (code == codes.NotFound || code == codes.Unimplemented) {
		return ended, nil
	}
	return ended, err
}

// makeWay deletes the references of the target's replica that cannot exist beside the
// source's and would go with a copy, and tells how many: git does not
// replace a by a/b in one transaction, so that Gitaly cannot copy. ctx and ended are as in
// change.
func (c *calls) makeWay(ctx context.Context, key state.Key, source, target string) (cleared int, ended bool, err error) {
	theirs, err := c.names(ctx, key, source)
	if err != nil {
		return 0, true, ofSource(err)
	}
	ours, err := c.names(ctx, key, target)
	if err != nil {
		return 0, true, err
	}
	req := &gitalypb.DeleteRefsRequest{}
	for _, ref := range plan.RefConflicts(theirs, ours) {
		req.Refs = append(req.Refs, []byte(ref))
	}
	if len(req.Refs) == 0 {
		return 0, true, nil
	}
	complaint := ""
	ended, err = c.change(ctx, key, target, "delete what is in the way of a copy on", func(ctx context.Context, conn grpc.ClientConnInterface, repo *gitalypb.Repository) error {
		req.Repository = repo
		answer, err := gitalypb.NewRefServiceClient(conn).DeleteRefs(ctx, req)
		complaint = answer.GetGitError()
		return err
	})
	if err == nil && complaint != "" {
		err = fmt.Errorf("delete what is in the way of a copy on %q: %s", target, complaint)
	}
	if err != nil {
		return 0, ended, err
	}
	return len(req.Refs), ended, nil
}

// namesLimit bounds how many references are held in memory.
const namesLimit = 1 << 20

// names are the names of all references of a replica.
func (c *calls) names(ctx context.Context, key state.Key, storage string) ([]string, error) {
	var names []string
	for ref, err := range c.references(ctx, key, storage) {
		switch {
		case err != nil:
			return nil, err
		case len(names) == namesLimit:
			return nil, fmt.Errorf("list the references on %q: more than %d", storage, namesLimit)
		}
		names = append(names, string(ref.GetName()))
	}
	return names, nil
}

// sound returns an error if git finds a fault in a replica. A storage that cannot tell
// keeps quiet about it.
func (c *calls) sound(ctx context.Context, key state.Key, storage string) error {
	complaint, err := c.fsck(ctx, key, storage)
	if errors.Is(err, errNoFsck) {
		return nil
	}
	if err == nil && complaint != "" {
		err = fmt.Errorf("git fsck finds faults in the replica on %q: %s", storage, state.Shorten(complaint))
	}
	return err
}

// setHead has a replica's HEAD name a reference; ctx and ended are as in change.
func (c *calls) setHead(ctx context.Context, key state.Key, storage, name string) (ended bool, err error) {
	return c.change(ctx, key, storage, fmt.Sprintf("have HEAD name %q on", name), func(ctx context.Context, conn grpc.ClientConnInterface, repo *gitalypb.Repository) error {
		_, err := gitalypb.NewRepositoryServiceClient(conn).WriteRef(ctx, &gitalypb.WriteRefRequest{
			Repository: repo, Ref: []byte("HEAD"), Revision: []byte(name),
		})
		return err
	})
}

// remove removes the replica of a storage, if there is one; ctx and ended are as in
// change.
func (c *calls) remove(ctx context.Context, key state.Key, storage string) (ended bool, err error) {
	ended, err = c.change(ctx, key, storage, "remove the repository from", func(ctx context.Context, conn grpc.ClientConnInterface, repo *gitalypb.Repository) error {
		_, err := gitalypb.NewRepositoryServiceClient(conn).RemoveRepository(ctx, &gitalypb.RemoveRepositoryRequest{Repository: repo})
		return err
	})
	if ended && status.Code(err) == codes.NotFound {
		return ended, nil
	}
	return ended, err
}

func repository(key state.Key, storage string) *gitalypb.Repository {
	return &gitalypb.Repository{StorageName: storage, RelativePath: key.RelativePath}
}

// serversHeader is the value of gitaly-servers: how the target of a copy
// reaches its source.
func serversHeader(storage, address, token string) (string, error) {
	type server struct {
		Address string `json:"address"`
		Token   string `json:"token"`
	}
	text, err := json.Marshal(map[string]server{storage: {address, token}})
	if err != nil {
		return "", fmt.Errorf("encode the address of %q: %w", storage, err)
	}
	return base64.StdEncoding.EncodeToString(text), nil
}
