package gitaly

import (
	"context"
	"errors"
	"strings"
	"sync"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"

	"praefect/test/gitaly/internal/wire"
)

// SSHUploadPack serves a fetch. The first message has the header and no input.
func (h *handlers) SSHUploadPack(stream gitalypb.SSHService_SSHUploadPackServer) error {
	req, err := stream.Recv()
	if err != nil {
		return wire.Fault(err, "receive first message")
	}
	repo, err := h.existing(req.GetRepository())
	if err != nil {
		return err
	}
	if len(req.GetStdin()) > 0 {
		return wire.InvalidArgument("non-empty stdin in first request")
	}
	return h.serveSSH(stream.Context(), session{
		repo:     repo,
		service:  "upload-pack",
		options:  req.GetGitConfigOptions(),
		protocol: req.GetGitProtocol(),
		receive: func() ([]byte, error) {
			req, err := stream.Recv()
			return req.GetStdin(), err
		},
		stdout: func(b []byte) error { return stream.Send(&gitalypb.SSHUploadPackResponse{Stdout: b}) },
		stderr: func(b []byte) error { return stream.Send(&gitalypb.SSHUploadPackResponse{Stderr: b}) },
		exit: func(s *gitalypb.ExitStatus) error {
			return stream.Send(&gitalypb.SSHUploadPackResponse{ExitStatus: s})
		},
	})
}

// SSHReceivePack serves a push. The first message has the header and no input.
func (h *handlers) SSHReceivePack(stream gitalypb.SSHService_SSHReceivePackServer) error {
	req, err := stream.Recv()
	if err != nil {
		return wire.Fault(err, "receive first message")
	}
	if req.GetGlId() == "" {
		return wire.InvalidArgument("empty GlId")
	}
	if len(req.GetStdin()) > 0 {
		return wire.InvalidArgument("non-empty data in first request")
	}
	repo, err := h.existing(req.GetRepository())
	if err != nil {
		return err
	}
	err = h.serveSSH(stream.Context(), session{
		repo:     repo,
		service:  "receive-pack",
		options:  req.GetGitConfigOptions(),
		protocol: req.GetGitProtocol(),
		env:      pusher(req.GetGlId(), req.GetGlUsername(), req.GetGlRepository(), "ssh"),
		receive: func() ([]byte, error) {
			req, err := stream.Recv()
			return req.GetStdin(), err
		},
		stdout: func(b []byte) error { return stream.Send(&gitalypb.SSHReceivePackResponse{Stdout: b}) },
		stderr: func(b []byte) error { return stream.Send(&gitalypb.SSHReceivePackResponse{Stderr: b}) },
		exit: func(s *gitalypb.ExitStatus) error {
			return stream.Send(&gitalypb.SSHReceivePackResponse{ExitStatus: s})
		},
	})
	if err != nil {
		return err
	}
	return repo.concludePush(stream.Context())
}

// session is one run of a git service with a stream for its three descriptors.
type session struct {
	repo     *repository
	service  string
	options  []string // key=value, from the request
	protocol string
	env      []string // besides

	receive func() ([]byte, error)
	stdout  func([]byte) error
	stderr  func([]byte) error
	exit    func(*gitalypb.ExitStatus) error
}

// serveSSH runs the session. As Gitaly does, it sends an exit status only when
// git failed, and an error after it.
func (h *handlers) serveSSH(ctx context.Context, s session) error {
	config, err := configOptions(s.options)
	if err != nil {
		return err
	}
	feed, err := h.feed(ctx, s.receive)
	if err != nil {
		return wire.Fault(err, "receive input")
	}
	defer feed.stop()
	var mu sync.Mutex // a stream takes one message at a time
	locked := func(send func([]byte) error) wire.Sender {
		return func(chunk []byte) error {
			mu.Lock()
			defer mu.Unlock()
			return send(chunk)
		}
	}
	err = s.repo.run(feed.ctx, command{
		config: config,
		args:   []string{s.service, s.repo.path},
		env:    append(protocol(s.protocol), s.env...),
		stdin:  feed.stdin,
		stdout: locked(s.stdout),
		stderr: locked(s.stderr),
	})
	if failed, ok := errors.AsType[*gitError](err); ok {
		if err := s.exit(&gitalypb.ExitStatus{Value: int32(failed.code)}); err != nil {
			return wire.Fault(err, "send exit status")
		}
	}
	return wire.Fault(err, "cmd wait")
}

// configOptions checks settings that a request brings, each key=value.
func configOptions(options []string) ([]string, error) {
	for _, option := range options {
		key, _, ok := strings.Cut(option, "=")
		if !ok || !strings.Contains(key, ".") {
			return nil, wire.InvalidArgument("invalid git config option %q", option)
		}
	}
	return options, nil
}

// protocol tells git which protocol the client asks for.
func protocol(wanted string) []string {
	if wanted == "" {
		return nil
	}
	return []string{"GIT_PROTOCOL=" + wanted}
}
