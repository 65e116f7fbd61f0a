package gitaly

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"praefect/test/gitaly/internal/wire"
)

// mirror are the arguments of a fetch that makes all references equal.
var mirror = []string{"--prune", "+refs/*:refs/*"}

// fetch runs git fetch in target, of the references in wanted. Its transport
// is a socket, with an upload-pack at the source at the other end.
func (s *source) fetch(ctx context.Context, target *repository, wanted ...string) error {
	local, remote, err := socketPair()
	if err != nil {
		return err
	}
	// The first failure ends the rest: git is told to end, and hung up on.
	group, ctx := errgroup.WithContext(ctx)
	hangUp := func() error {
		if err := local.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("close socket: %w", err)
		}
		return nil
	}
	stop := context.AfterFunc(ctx, func() { _ = hangUp() }) // the failure is known already
	defer stop()
	group.Go(func() error {
		fetch := fetchCommand(fmt.Sprintf("fd::%d/source", passedFrom), wanted)
		fetch.config = append(fetch.config, "fetch.negotiationAlgorithm=skipping")
		fetch.pass = []*os.File{remote}
		return target.run(ctx, fetch)
	})
	group.Go(func() error { return s.uploadPack(ctx, group, local) })
	err = group.Wait()
	if closeErr := hangUp(); err == nil {
		err = closeErr
	}
	return err
}

// fetchCommand fetches from any source that git takes for a repository: options and
// refspecs, all of them or none.
func fetchCommand(from string, wanted []string) command {
	options := []string{"fetch", "--quiet", "--no-auto-maintenance", "--no-write-fetch-head", "--no-tags", "--atomic"}
	var refspecs []string
	for _, argument := range wanted {
		if strings.HasPrefix(argument, "-") {
			options = append(options, argument)
		} else {
			refspecs = append(refspecs, argument)
		}
	}
	return command{
		config: []string{"fetch.writeCommitGraph=false"},
		args:   slices.Concat(options, []string{from}, refspecs),
	}
}

// socketPair returns two connected sockets: ours, and one for git. Not pipes:
// git keeps a second descriptor of the one that it is passed, so only a shutdown tells
// the other side that no more will come.
func socketPair() (local *net.UnixConn, remote *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("open socket pair: %w", err)
	}
	ours, remote := os.NewFile(uintptr(fds[0]), "local"), os.NewFile(uintptr(fds[1]), "remote")
	conn, err := net.FileConn(ours) // a duplicate
	if err = errors.Join(err, ours.Close()); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("open socket pair: %w", err), remote.Close())
	}
	return conn.(*net.UnixConn), remote, nil
}

// uploadPack starts an upload-pack at the source, and adds to group the two
// goroutines that connect it with the socket. They end with the stream or with git, at
// the first end.
func (s *source) uploadPack(ctx context.Context, group *errgroup.Group, local *net.UnixConn) error {
	stream, err := gitalypb.NewSSHServiceClient(s.conn).SSHUploadPack(wire.PeerContext(ctx))
	if err == nil {
		err = stream.Send(&gitalypb.SSHUploadPackRequest{Repository: s.repo, GitProtocol: "version=2"})
	}
	if err != nil && !errors.Is(err, io.EOF) { // EOF: the receiver learns why
		return wire.Fault(err, "start upload-pack")
	}
	group.Go(func() error {
		err := wire.Drain(local, func() ([]byte, error) {
			resp, err := stream.Recv()
			return resp.GetStdout(), err
		})
		if err == nil {
			err = local.CloseWrite()
		}
		if hungUp(err) {
			return nil
		}
		return wire.Fault(err, "receive from source")
	})
	group.Go(func() error {
		_, err := wire.Sender(func(chunk []byte) error {
			return stream.Send(&gitalypb.SSHUploadPackRequest{Stdin: chunk})
		}).ReadFrom(local)
		if err == nil {
			err = stream.CloseSend()
		}
		if hungUp(err) || errors.Is(err, io.EOF) { // EOF: the receiver learns why
			return nil
		}
		return wire.Fault(err, "send to source")
	})
	return nil
}

// hungUp reports whether git ended before its peer, or was hung up on after
// another failure; why is said elsewhere.
func hungUp(err error) bool {
	return errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.ENOTCONN)
}
