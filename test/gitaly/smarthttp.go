package gitaly

import (
	"context"
	"errors"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/test/gitaly/internal/vote"
	"praefect/test/gitaly/internal/wire"
)

// PostReceivePack serves a push over HTTP. The first message has the header
// and no data. git's own quarantine and reference transactions see to it that
// a push which is cut off leaves nothing, or all of it.
func (h *handlers) PostReceivePack(stream gitalypb.SmartHTTPService_PostReceivePackServer) error {
	req, err := stream.Recv()
	if err != nil {
		return wire.Fault(err, "receive first message")
	}
	if req.GetGlId() == "" {
		return wire.InvalidArgument("empty GlId")
	}
	if len(req.GetData()) > 0 {
		return wire.InvalidArgument("non-empty Data")
	}
	repo, err := h.existing(req.GetRepository())
	if err != nil {
		return err
	}
	config, err := configOptions(req.GetGitConfigOptions())
	if err != nil {
		return err
	}
	feed, err := h.feed(stream.Context(), func() ([]byte, error) {
		req, err := stream.Recv()
		return req.GetData(), err
	})
	if err != nil {
		return wire.Fault(err, "receive push")
	}
	defer feed.stop()
	err = repo.run(feed.ctx, command{
		config: config,
		args:   []string{"receive-pack", "--stateless-rpc", repo.path},
		env:    append(protocol(req.GetGitProtocol()), pusher(req.GetGlId(), req.GetGlUsername(), req.GetGlRepository(), "http")...),
		stdin:  feed.stdin,
		stdout: wire.Sender(func(chunk []byte) error {
			return stream.Send(&gitalypb.PostReceivePackResponse{Data: chunk})
		}),
	})
	if err != nil {
		return failedAs(codes.FailedPrecondition, err, "waiting for receive-pack")
	}
	return repo.concludePush(stream.Context())
}

// concludePush casts the last vote of a push. git succeeds even if it was
// refused all references: on whether that was the same everywhere the storages
// agree here. Its error is a status.
func (r *repository) concludePush(ctx context.Context) error {
	err := vote.From(ctx).Vote(ctx, r.place(), vote.Committed, r.storage.voter.salted(vote.Hash{}))
	if vote.IsStopped(err) { // a hook refused the push; the client has heard why
		return nil
	}
	return wire.Fault(err, "final vote")
}

// failedAs is wire.Fault, but a git process that failed gets that code.
func failedAs(code codes.Code, err error, tried string) error {
	if failed, ok := errors.AsType[*gitError](err); ok {
		return status.Errorf(code, "%s: %v", tried, failed)
	}
	return wire.Fault(err, tried)
}
