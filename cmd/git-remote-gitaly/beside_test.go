package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/proxy/channel"
)

// uploadPacks answers fetches either way, as the test wants it.
type uploadPacks struct {
	gitalypb.UnimplementedSSHServiceServer
	beside func(context.Context) error
}

// SSHUploadPack sends the input back, in messages.
func (u uploadPacks) SSHUploadPack(stream gitalypb.SSHService_SSHUploadPackServer) error {
	if err := stream.Send(&gitalypb.SSHUploadPackResponse{Stdout: []byte("in messages: ")}); err != nil {
		return err
	}
	for {
		r, err := stream.Recv()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := stream.Send(&gitalypb.SSHUploadPackResponse{Stdout: r.GetStdin()}); err != nil {
			return err
		}
	}
}

func (u uploadPacks) SSHUploadPackWithSidechannel(ctx context.Context, r *gitalypb.SSHUploadPackWithSidechannelRequest) (*gitalypb.SSHUploadPackWithSidechannelResponse, error) {
	if r.GetGitProtocol() != "version=2" || r.GetRepository().GetRelativePath() != "a.git" {
		return nil, status.Errorf(codes.InvalidArgument, "got %v", r)
	}
	return &gitalypb.SSHUploadPackWithSidechannelResponse{}, u.beside(ctx)
}

// errSilent is the end of a fetch that ends well before it has begun.
var errSilent = errors.New("nothing was asked")

// sends opens the sidechannel and writes before, then the input in a packet of
// its own, then after. If it is to end with an error it does not wait for input.
func sends(before, after string, end error) func(context.Context) error {
	return func(ctx context.Context) error {
		side, err := channel.Open(ctx)
		if err != nil {
			return err
		}
		defer side.Close()
		if _, err := io.WriteString(side, before); err != nil {
			return err
		}
		if end == nil {
			input, err := io.ReadAll(side)
			if err != nil {
				return err
			}
			if _, err := side.Write(append([]byte("0009\x01"), input...)); err != nil {
				return err
			}
		}
		if _, err := io.WriteString(side, after); err != nil || end == errSilent {
			return err
		}
		return end
	}
}

// TestProgram_fetchesBesideItsCall goes through what servers do with the call that
// comes with a sidechannel.
func TestProgram_fetchesBesideItsCall(t *testing.T) {
	for _, row := range []struct {
		name   string
		mute   bool // the server speaks no backchannel
		beside func(context.Context) error
		want   string // after git was told that it is connected
		err    string
	}{
		{"through it", false, sends("000d\x01through ", "0006\x02x", nil), "through have", ""},
		{"not implemented", false, func(context.Context) error { return status.Error(codes.Unimplemented, "no") }, "in messages: have", ""},
		{"no backchannel", true, nil, "in messages: have", ""},
		{"refused", false, func(context.Context) error { return status.Error(codes.NotFound, "no") }, "", "not found"},
		{"not opened", false, func(context.Context) error { return nil }, "", "opened no sidechannel"},
		{"failed on its way", false, sends("0007\x01of", "", status.Error(codes.Internal, "lost")), "of", "lost"},
		{"not a word", false, sends("", "", errSilent), "", "without a word"},
		{"nonsense", false, sends("0004\x01", "", nil), "", "its length"},
		{"output 3", false, sends("0006\x03x", "", nil), "", "output 3"},
		{"half a packet", false, sends("0006\x01a", "0009\x01x", nil), "ahave", "unexpected EOF"},
	} {
		var opts []grpc.ServerOption
		if !row.mute {
			opts = append(opts, grpc.Creds(channel.NewServerCredentials(nil, channel.Config{})))
		}
		server := grpc.NewServer(opts...)
		gitalypb.RegisterSSHServiceServer(server, uploadPacks{beside: row.beside})
		lis, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		done := make(chan error, 1)
		go func() { done <- server.Serve(lis) }()
		got, err := converseWith(t, "connect git-upload-pack\nhave", nil, "origin", "gitaly://"+lis.Addr().String()+"/default/a.git")
		server.Stop()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
		want := row.want
		if want != "" {
			want = "\n" + want
		}
		if got != want || (err == nil) != (row.err == "") || err != nil && !strings.Contains(err.Error(), row.err) {
			t.Errorf("%s: got %q and %v, want %q and %q", row.name, got, err, want, row.err)
		}
	}
}

func TestPacketReader_end(t *testing.T) {
	for in, want := range map[string]error{"": io.EOF, "00": io.ErrUnexpectedEOF, "0006\x01": io.ErrUnexpectedEOF, "0007\x01a": io.ErrUnexpectedEOF} {
		r := packetReader{from: bufio.NewReader(strings.NewReader(in)), data: make([]byte, maxPacket)}
		if out, err := r.next(); !errors.Is(err, want) {
			t.Errorf("%q: got %+v and %v", in, out, err)
		}
	}
}
