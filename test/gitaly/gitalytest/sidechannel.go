package gitalytest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"testing"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"praefect/proxy/channel"
)

// want is the request of a client to fetch all that leads to a commit.
func want(commit string) string {
	return "0032want " + commit + "\n00000009done\n"
}

// sidechannels: fetches whose data passes beside the call.
func (s *suite) sidechannels(t *testing.T) {
	repo := s.repository("a.git")
	objects := s.seeded(t, repo, map[string]int{"refs/heads/main": 2})
	var waiting channel.Registry
	conn := DialChannel(t, s.Address, s.Token, channel.Client{Sidechannels: &waiting})
	// exchange makes a call with that input and returns the data that came beside it.
	exchange := func(input string, call func(context.Context) error) (string, error) {
		var output []byte
		ctx, waiter := waiting.Expect(s.ctx, func(_ context.Context, side *channel.ClientEnd) error {
			_, err := io.WriteString(side, input)
			if err = errors.Join(err, side.CloseWrite()); err != nil {
				return err
			}
			output, err = io.ReadAll(side)
			return err
		})
		err := call(ctx)
		closeErr := waiter.Close()
		if err == nil {
			err = closeErr
		}
		return string(output), err
	}
	overHTTP := func(conn *grpc.ClientConn, repo *gitalypb.Repository) func(context.Context) error {
		return func(ctx context.Context) error {
			return errorOf(gitalypb.NewSmartHTTPServiceClient(conn).PostUploadPackWithSidechannel(ctx, &gitalypb.PostUploadPackWithSidechannelRequest{Repository: repo}))
		}
	}
	overSSH := func(conn *grpc.ClientConn, repo *gitalypb.Repository) func(context.Context) error {
		return func(ctx context.Context) error {
			return errorOf(gitalypb.NewSSHServiceClient(conn).SSHUploadPackWithSidechannel(ctx, &gitalypb.SSHUploadPackWithSidechannelRequest{Repository: repo}))
		}
	}
	output, err := exchange(want(objects.Commits[2]), overHTTP(conn, repo))
	if err != nil || !bytes.HasPrefix([]byte(output), []byte("0008NAK\nPACK")) {
		t.Errorf("HTTP: got %d bytes, %v, want a pack", len(output), err)
	}
	output, err = exchange(want(objects.Commits[2]), overSSH(conn, repo))
	stdout, parseErr := band(output, 1)
	if err != nil || parseErr != nil || !bytes.Contains(stdout, []byte("NAK\nPACK")) {
		t.Errorf("SSH: got %d bytes in the first band, %v, %v, want a pack", len(stdout), parseErr, err)
	}
	for name, call := range map[string]func(*grpc.ClientConn, *gitalypb.Repository) func(context.Context) error{"HTTP": overHTTP, "SSH": overSSH} {
		_, err = exchange("no packet", call(conn, repo))
		wantError(t, name+": nonsense", err)
		_, err = exchange("", call(conn, s.repository("absent.git")))
		wantCode(t, name+": absent", err, codes.NotFound)
		wantError(t, name+": nobody waits", call(conn, repo)(s.ctx))
		_, err = exchange("", call(s.Conn, repo))
		wantError(t, name+": no backchannel", err)
	}
}

// band returns the data of one band of a sequence of packets.
func band(packets string, number byte) ([]byte, error) {
	var data []byte
	for len(packets) > 0 {
		if len(packets) < 5 {
			return data, fmt.Errorf("%d bytes left over", len(packets))
		}
		length, err := strconv.ParseUint(packets[:4], 16, 16)
		if err != nil || length < 5 || int(length) > len(packets) {
			return data, fmt.Errorf("malformed packet %q: %w", packets[:4], err)
		}
		if packets[4] == number {
			data = append(data, packets[5:length]...)
		}
		packets = packets[length:]
	}
	return data, nil
}
