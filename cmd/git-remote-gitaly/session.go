package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// chunkSize is the most bytes of input that one message carries.
const chunkSize = 64 << 10

// session is a git service that runs on the server.
type session struct {
	service   string
	send      func(stdin []byte) error
	closeSend func() error
	receive   func() (output, error) // io.EOF when the service has ended well
}

// output is one message of a session.
type output struct {
	stdout, stderr []byte
	exit           int32
}

// open starts a session.
type open func(context.Context, *server, *target) (*session, error)

// services are the services that git may ask for.
func (p *program) services() map[string]open {
	return map[string]open{"git-upload-pack": p.uploadPack, "git-receive-pack": p.receivePack}
}

// uploadPack starts the server's side of a fetch: through a sidechannel, or in
// messages if the server has none.
func (p *program) uploadPack(ctx context.Context, to *server, t *target) (*session, error) {
	protocol := cmp.Or(p.getenv("GIT_PROTOCOL"), "version=2")
	s, err := besideUploadPack(ctx, to, &gitalypb.SSHUploadPackWithSidechannelRequest{Repository: t.repo, GitProtocol: protocol})
	if status.Code(err) != codes.Unimplemented && !to.mute.Load() {
		return s, err
	}
	stream, err := gitalypb.NewSSHServiceClient(to).SSHUploadPack(ctx)
	if err != nil {
		return nil, err
	}
	s = &session{
		service:   "upload-pack",
		send:      func(b []byte) error { return stream.Send(&gitalypb.SSHUploadPackRequest{Stdin: b}) },
		closeSend: stream.CloseSend,
		receive: func() (output, error) {
			resp, err := stream.Recv()
			return output{resp.GetStdout(), resp.GetStderr(), resp.GetExitStatus().GetValue()}, err
		},
	}
	return s.begin(stream.Send(&gitalypb.SSHUploadPackRequest{Repository: t.repo, GitProtocol: protocol}))
}

// receivePack starts the server's side of a push.
func (p *program) receivePack(ctx context.Context, to *server, t *target) (*session, error) {
	stream, err := gitalypb.NewSSHServiceClient(to).SSHReceivePack(ctx)
	if err != nil {
		return nil, err
	}
	s := &session{
		service:   "receive-pack",
		send:      func(b []byte) error { return stream.Send(&gitalypb.SSHReceivePackRequest{Stdin: b}) },
		closeSend: stream.CloseSend,
		receive: func() (output, error) {
			resp, err := stream.Recv()
			return output{resp.GetStdout(), resp.GetStderr(), resp.GetExitStatus().GetValue()}, err
		},
	}
	return s.begin(stream.Send(&gitalypb.SSHReceivePackRequest{
		Repository: t.repo, GlId: glID, GlUsername: glUsername, GlRepository: glRepository,
	}))
}

// begin returns the session unless its first message could not be sent. A
// stream that the server has ended already is no such case: receive says why.
func (s *session) begin(err error) (*session, error) {
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return s, nil
}

// forward sends all input, and its end. That the service does not want more of
// it is no error.
func (s *session) forward(in io.Reader) error {
	chunk := make([]byte, chunkSize)
	for {
		n, err := in.Read(chunk)
		if n > 0 {
			switch err := s.send(chunk[:n]); {
			case errors.Is(err, io.EOF):
				return nil
			case err != nil:
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return s.closeSend()
		}
		if err != nil {
			return fmt.Errorf("read input: %w", err)
		}
	}
}
