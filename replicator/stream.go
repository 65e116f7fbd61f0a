package replicator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"

	"praefect/fsm/state"
)

// receiver is a stream of answers.
type receiver[T any] interface{ Recv() (*T, error) }

// streamed yields the answers of a stream. An error is the last thing that it
// yields. A stream may take as long as its consumer does; only the storage is given
// a bounded time for each answer.
func streamed[T any](ctx context.Context, silence time.Duration, open func(context.Context) (receiver[T], error)) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		silent := time.AfterFunc(silence, cancel)
		defer silent.Stop()
		stream, err := open(ctx)
		for err == nil {
			var answer *T
			silent.Reset(silence)
			answer, err = stream.Recv()
			silent.Stop()
			if err == nil && !yield(answer, nil) {
				return
			}
		}
		if !errors.Is(err, io.EOF) {
			yield(nil, err)
		}
	}
}

// walk yields the relative path of every repository on a storage.
func (c *calls) walk(ctx context.Context, virtualStorage, storage string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		conn, err := c.storages.Conn(virtualStorage, storage)
		if err != nil {
			yield("", err)
			return
		}
		for found, err := range streamed(ctx, c.lookTimeout, func(ctx context.Context) (receiver[gitalypb.WalkReposResponse], error) {
			return gitalypb.NewInternalGitalyClient(conn).WalkRepos(ctx, &gitalypb.WalkReposRequest{StorageName: storage})
		}) {
			if err != nil {
				err = fmt.Errorf("walk the repositories of %q: %w", storage, err)
			}
			if !yield(found.GetRelativePath(), err) {
				return
			}
		}
	}
}

// reference is one of a replica's.
type reference = gitalypb.ListRefsResponse_Reference

// references yields all of a replica, ordered by their names.
func (c *calls) references(ctx context.Context, key state.Key, storage string) iter.Seq2[*reference, error] {
	return c.listed(ctx, key, storage, &gitalypb.ListRefsRequest{Patterns: [][]byte{[]byte("refs/")}})
}

// listed yields the references of a replica that a request asks for, ordered by
// their names.
func (c *calls) listed(ctx context.Context, key state.Key, storage string, request *gitalypb.ListRefsRequest) iter.Seq2[*reference, error] {
	request.Repository = repository(key, storage)
	return func(yield func(*reference, error) bool) {
		conn, err := c.storages.Conn(key.VirtualStorage, storage)
		if err != nil {
			yield(nil, err)
			return
		}
		for page, err := range streamed(ctx, c.lookTimeout, func(ctx context.Context) (receiver[gitalypb.ListRefsResponse], error) {
			return gitalypb.NewRefServiceClient(conn).ListRefs(ctx, request)
		}) {
			if err != nil {
				yield(nil, fmt.Errorf("list the references on %q: %w", storage, err))
				return
			}
			for _, ref := range page.GetReferences() {
				if !yield(ref, nil) {
					return
				}
			}
		}
	}
}
