package wire

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

func TestFault_keepsWhatClientsNeed(t *testing.T) {
	detailed, err := status.New(codes.NotFound, "gone").WithDetails(&gitalypb.ReferenceNotFoundError{ReferenceName: []byte("x")})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name    string
		err     error
		code    codes.Code
		message string
		details int
	}{
		{"nothing", nil, codes.OK, "", 0},
		{"a plain error", errors.New("boom"), codes.Internal, "try: boom", 0},
		{"a status", status.Error(codes.Unavailable, "away"), codes.Unavailable, "try: away", 0},
		{"a wrapped status with details", fmt.Errorf("wrapped: %w", detailed.Err()), codes.NotFound, "try: gone", 1},
		{"a status beside another error", errors.Join(errors.New("boom"), status.Error(codes.Aborted, "no")), codes.Aborted, "try: no", 0},
		{"a cancelled context", fmt.Errorf("wait: %w", context.Canceled), codes.Canceled, "try: wait: context canceled", 0},
		{"a deadline", fmt.Errorf("wait: %w", context.DeadlineExceeded), codes.DeadlineExceeded, "try: wait: context deadline exceeded", 0},
	} {
		got := status.Convert(Fault(row.err, "try"))
		if got.Code() != row.code || got.Message() != row.message || len(got.Details()) != row.details {
			t.Errorf("%s: got %v %q with %d details, want %v %q with %d",
				row.name, got.Code(), got.Message(), len(got.Details()), row.code, row.message, row.details)
		}
	}
}

func TestCleanPath(t *testing.T) {
	for path, want := range map[string]string{
		"a.git": "a.git", "/a.git": "a.git", "a//b/./c/../d.git/": "a/b/d.git", "@hashed/aa/bb/cc.git": "@hashed/aa/bb/cc.git",
		"..": "", "../a": "", "a/../../b": "", "": "", ".": "", "/": "", "a/..": "", "+gitaly": "", "+gitaly/tmp": "", "x/../+gitaly": "", "a\x00b": "",
	} {
		got, err := CleanPath(path)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %q, %v, want %q", path, got, err, want)
		}
		if err != nil && status.Code(err) != codes.InvalidArgument {
			t.Errorf("%q: got %v, want InvalidArgument", path, err)
		}
	}
}

func TestDialPeer_badHeaders(t *testing.T) {
	encode := base64.StdEncoding.EncodeToString
	for name, values := range map[string][]string{
		"none":             nil,
		"not base64":       {"{}"},
		"not JSON":         {encode([]byte("gitaly"))},
		"another storage":  {encode([]byte(`{"b":{"address":"tcp://h:1"}}`))},
		"no address":       {encode([]byte(`{"a":{"token":"x"}}`))},
		"a strange scheme": {encode([]byte(`{"a":{"address":"http://h:1"}}`))},
	} {
		ctx := metadata.NewIncomingContext(t.Context(), metadata.MD{serversKey: values})
		if _, err := DialPeer(ctx, "a"); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: got %v, want InvalidArgument", name, err)
		}
	}
}

func TestPeerContext_passesOnNoCredentials(t *testing.T) {
	ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs(serversKey, "x", "authorization", "Bearer y", "gitaly-reference-transaction", "z"))
	got, ok := metadata.FromOutgoingContext(PeerContext(ctx))
	if !ok || len(got) != 1 || got.Get(serversKey)[0] != "x" {
		t.Errorf("got %v, want the servers alone", got)
	}
}

func TestChecksum(t *testing.T) {
	var a, b Checksum
	if got := a.String(); got != strings.Repeat("0", 40) {
		t.Errorf("of nothing: got %q, want zeros", got)
	}
	lines := []string{"1111111111111111111111111111111111111111 HEAD", "2222222222222222222222222222222222222222 refs/heads/a"}
	a.Add([]byte(lines[0]))
	a.Add([]byte(lines[1]))
	b.Add([]byte(lines[1]))
	if a.String() == b.String() {
		t.Error("a line more makes no difference")
	}
	b.Add([]byte(lines[0]))
	if a.String() != b.String() {
		t.Error("the order makes a difference")
	}
}

func TestSender_sendsInChunks(t *testing.T) {
	whole := strings.Repeat("x", 2*ChunkSize+1)
	for name, send := range map[string]func(Sender) error{
		"Write": func(s Sender) error { _, err := s.Write([]byte(whole)); return err },
		"ReadFrom": func(s Sender) error {
			_, err := s.ReadFrom(strings.NewReader(whole))
			return err
		},
	} {
		var got strings.Builder
		var chunks int
		err := send(func(chunk []byte) error {
			chunks++
			got.Write(chunk)
			return nil
		})
		if err != nil || got.String() != whole || chunks != 3 {
			t.Errorf("%s: got %d bytes in %d chunks, %v, want %d in 3", name, got.Len(), chunks, err, len(whole))
		}
		boom := errors.New("boom")
		if err := send(func([]byte) error { return boom }); !errors.Is(err, boom) {
			t.Errorf("%s: got %v, want the sender's error", name, err)
		}
	}
}
