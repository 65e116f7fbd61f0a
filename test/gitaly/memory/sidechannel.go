package memory

import (
	"context"
	"io"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"

	"praefect/proxy/channel"
	"praefect/test/gitaly/internal/wire"
)

// SSHUploadPackWithSidechannel sends as many bytes as a pack shall have, in
// packets of the first band, once it has read the request of the client.
func (h *handlers) SSHUploadPackWithSidechannel(ctx context.Context, req *gitalypb.SSHUploadPackWithSidechannelRequest) (*gitalypb.SSHUploadPackWithSidechannelResponse, error) {
	err := h.sendPack(ctx, req.GetRepository(), func(side io.Writer) io.Writer { return wire.NewSideband(side).Band(wire.BandStdout) })
	return wire.Answer(&gitalypb.SSHUploadPackWithSidechannelResponse{}, err)
}

// PostUploadPackWithSidechannel likewise sends them, as they are.
func (h *handlers) PostUploadPackWithSidechannel(ctx context.Context, req *gitalypb.PostUploadPackWithSidechannelRequest) (*gitalypb.PostUploadPackWithSidechannelResponse, error) {
	err := h.sendPack(ctx, req.GetRepository(), func(side io.Writer) io.Writer { return side })
	return wire.Answer(&gitalypb.PostUploadPackWithSidechannelResponse{}, err)
}

func (h *handlers) sendPack(ctx context.Context, repo *gitalypb.Repository, through func(io.Writer) io.Writer) error {
	return h.hooked(ctx, repo, func() error {
		if err := h.read(repo, func(*repository) error { return nil }); err != nil {
			return err
		}
		return wire.WithSidechannel(ctx, func(side *channel.ServerEnd) error {
			if _, err := io.Copy(io.Discard, side); err != nil {
				return wire.Fault(err, "read from sidechannel")
			}
			out := through(side)
			return wire.Fault(sendZeros(h.server.config.PackSize, func(chunk []byte) error {
				_, err := out.Write(chunk)
				return err
			}), "write to sidechannel")
		})
	})
}
