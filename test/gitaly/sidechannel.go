package gitaly

import (
	"context"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"

	"praefect/proxy/channel"
	"praefect/test/gitaly/internal/wire"
)

// SSHUploadPackWithSidechannel serves a fetch whose data passes beside the
// call. git's output goes to the client in packets that tell its two outputs
// apart.
func (h *handlers) SSHUploadPackWithSidechannel(ctx context.Context, req *gitalypb.SSHUploadPackWithSidechannelRequest) (*gitalypb.SSHUploadPackWithSidechannelResponse, error) {
	err := h.besides(ctx, req.GetRepository(), req.GetGitConfigOptions(), func(repo *repository, side *channel.ServerEnd, c *command) {
		out := wire.NewSideband(side)
		c.args = []string{"upload-pack", repo.path}
		c.env = protocol(req.GetGitProtocol())
		c.stdout, c.stderr = out.Band(wire.BandStdout), out.Band(wire.BandStderr)
	})
	return wire.Answer(&gitalypb.SSHUploadPackWithSidechannelResponse{}, err)
}

// PostUploadPackWithSidechannel serves a fetch over HTTP whose data passes
// beside the call, as it is.
func (h *handlers) PostUploadPackWithSidechannel(ctx context.Context, req *gitalypb.PostUploadPackWithSidechannelRequest) (*gitalypb.PostUploadPackWithSidechannelResponse, error) {
	err := h.besides(ctx, req.GetRepository(), req.GetGitConfigOptions(), func(repo *repository, side *channel.ServerEnd, c *command) {
		c.args = []string{"upload-pack", "--stateless-rpc", repo.path}
		c.env = protocol(req.GetGitProtocol())
		c.stdout = side
	})
	return wire.Answer(&gitalypb.PostUploadPackWithSidechannelResponse{}, err)
}

// besides runs a command of git's, which set describes, with the call's
// sidechannel for its input. Its errors are statuses.
func (h *handlers) besides(ctx context.Context, named *gitalypb.Repository, options []string, set func(*repository, *channel.ServerEnd, *command)) error {
	repo, err := h.existing(named)
	if err != nil {
		return err
	}
	config, err := configOptions(options)
	if err != nil {
		return err
	}
	return wire.WithSidechannel(ctx, func(side *channel.ServerEnd) error {
		buffer := make([]byte, wire.ChunkSize)
		feed, err := h.feed(ctx, func() ([]byte, error) {
			n, err := side.Read(buffer)
			return buffer[:n], err
		})
		if err != nil {
			return wire.Fault(err, "receive input")
		}
		defer feed.stop()
		c := command{config: config, stdin: feed.stdin}
		set(repo, side, &c)
		return wire.Fault(repo.run(feed.ctx, c), "cmd wait")
	})
}
