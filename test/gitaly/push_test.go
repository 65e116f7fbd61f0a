package gitaly_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/test/gitaly/gitalytest"
	"praefect/test/must"
)

const zero = "0000000000000000000000000000000000000000"

// work is a repository of a client's, with one commit of incompressible files.
func work(t *testing.T, bytesOfData int) (dir, commit string) {
	t.Helper()
	dir = t.TempDir()
	git(t, dir, nil, "init", "--quiet", "--bare")
	data := make([]byte, bytesOfData)
	state := uint64(88172645463325252) // any seed; xorshift is quick and repeatable
	for i := range data {
		state ^= state << 13
		state ^= state >> 7
		state ^= state << 17
		data[i] = byte(state)
	}
	blob := git(t, dir, data, "hash-object", "-w", "--stdin")
	tree := git(t, dir, []byte("100644 blob "+blob+"\tdata\n"), "mktree")
	return dir, git(t, dir, nil, "commit-tree", tree, "-m", "data")
}

// pushOf returns what a client sends to set ref, its objects included.
func pushOf(t *testing.T, dir, ref, old, new string) []byte {
	t.Helper()
	line := fmt.Sprintf("%s %s %s\x00 report-status agent=test", old, new, ref)
	out := fmt.Appendf(nil, "%04x%s0000", len(line)+4, line)
	cmd := exec.Command("git", "pack-objects", "--revs", "--stdout", "--quiet")
	cmd.Dir, cmd.Env = dir, gitalytest.GitEnv()
	cmd.Stdin = strings.NewReader(new + "\n")
	pack, err := cmd.Output()
	if err != nil {
		t.Fatalf("pack: %v", err)
	}
	return append(out, pack...)
}

// push sends data through PostReceivePack and returns what is answered.
func (f *fixture) push(ctx context.Context, repo *gitalypb.Repository, data []byte) (string, error) {
	stream, err := f.http.PostReceivePack(ctx)
	if err != nil {
		return "", err
	}
	if err := stream.Send(&gitalypb.PostReceivePackRequest{Repository: repo, GlId: "key-1", GlRepository: "project-1"}); err != nil {
		return "", err
	}
	for chunk := range chunks(data, 100_000) {
		if err := stream.Send(&gitalypb.PostReceivePackRequest{Data: chunk}); err != nil && !errors.Is(err, io.EOF) {
			return "", err
		}
	}
	if err := stream.CloseSend(); err != nil {
		return "", err
	}
	var answer strings.Builder
	for {
		resp, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return answer.String(), nil
		}
		if err != nil {
			return answer.String(), err
		}
		answer.Write(resp.GetData())
	}
}

func chunks(data []byte, size int) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(data) > 0 {
			n := min(size, len(data))
			if !yield(data[:n]) {
				return
			}
			data = data[n:]
		}
	}
}

func TestServer_pushOverHTTP(t *testing.T) {
	f := start(t)
	repo := f.create(t, "a.git")
	dir, commit := work(t, 1<<20)
	answer, err := f.push(t.Context(), repo, pushOf(t, dir, "refs/heads/main", zero, commit))
	if err != nil || !strings.Contains(answer, "ok refs/heads/main") {
		t.Fatalf("push: got %q, %v", answer, err)
	}
	found, err := f.commits.FindCommit(t.Context(), &gitalypb.FindCommitRequest{Repository: repo, Revision: []byte("main")})
	if err != nil || found.GetCommit().GetId() != commit {
		t.Errorf("got %v, %v, want commit %q", found.GetCommit(), err, commit)
	}
	answer, err = f.push(t.Context(), repo, pushOf(t, dir, "refs/heads/main", zero, commit))
	if err != nil || !strings.Contains(answer, "ng refs/heads/main") {
		t.Errorf("push from the wrong value: got %q, %v, want it refused", answer, err)
	}
	if _, err := f.push(t.Context(), repo, []byte("no packet")); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("push of garbage: got %v, want FailedPrecondition", err)
	}
}

// A push that is cut off leaves nothing behind, wherever it is cut.
func TestServer_pushCutOff(t *testing.T) {
	f := newRestartable(t)
	dir, commit := work(t, 1<<20)
	data := pushOf(t, dir, "refs/heads/main", zero, commit)
	for i, sent := range []int{0, 50, len(data) / 2, len(data) - 1} {
		repo := f.create(t, fmt.Sprintf("%d.git", i))
		ctx, cancel := context.WithCancel(t.Context())
		stream, err := f.http.PostReceivePack(ctx)
		must.Succeed(t, err)
		must.Succeed(t, stream.Send(&gitalypb.PostReceivePackRequest{Repository: repo, GlId: "key-1"}))
		for chunk := range chunks(data[:sent], 100_000) {
			must.Succeed(t, stream.Send(&gitalypb.PostReceivePackRequest{Data: chunk}))
		}
		cancel()
		if _, err := stream.Recv(); status.Code(err) != codes.Canceled {
			t.Errorf("cut at %d: got %v, want Canceled", sent, err)
		}
		// Another push to the same reference waits for no lock of the first.
		answer, err := f.push(t.Context(), repo, data)
		if err != nil || !strings.Contains(answer, "ok refs/heads/main") {
			t.Errorf("push after a cut at %d: got %q, %v", sent, answer, err)
		}
	}
	f.stop() // the last git process has ended
	for i := range 4 {
		root := filepath.Join(f.dir["one"], fmt.Sprintf("%d.git", i))
		err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && strings.HasSuffix(entry.Name(), ".lock") {
				t.Errorf("left over: %q", path)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
		git(t, root, nil, "fsck", "--full", "--strict")
	}
}

// A message that is too large breaks the stream, not the storage.
func TestServer_pushWithTooLargeMessage(t *testing.T) {
	f := start(t)
	repo := f.create(t, "a.git")
	stream, err := f.http.PostReceivePack(t.Context())
	must.Succeed(t, err)
	for _, req := range []*gitalypb.PostReceivePackRequest{{Repository: repo, GlId: "key-1"}, {Data: make([]byte, 5<<20)}} {
		if err := stream.Send(req); err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
	}
	for err == nil {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.ResourceExhausted {
		t.Errorf("got %v, want ResourceExhausted", err)
	}
}

func TestServer_sshFaults(t *testing.T) {
	f := start(t)
	repo := f.create(t, "a.git")
	absent := &gitalypb.Repository{StorageName: "one", RelativePath: "absent.git"}
	for _, row := range []struct {
		name string
		req  *gitalypb.SSHReceivePackRequest
		want codes.Code
	}{
		{"no GlId", &gitalypb.SSHReceivePackRequest{Repository: repo}, codes.InvalidArgument},
		{"input in the first message", &gitalypb.SSHReceivePackRequest{Repository: repo, GlId: "key-1", Stdin: []byte("0")}, codes.InvalidArgument},
		{"malformed option", &gitalypb.SSHReceivePackRequest{Repository: repo, GlId: "key-1", GitConfigOptions: []string{"x"}}, codes.InvalidArgument},
		{"absent", &gitalypb.SSHReceivePackRequest{Repository: absent, GlId: "key-1"}, codes.NotFound},
		{"none", &gitalypb.SSHReceivePackRequest{GlId: "key-1"}, codes.InvalidArgument},
	} {
		stream, err := f.ssh.SSHReceivePack(t.Context())
		if err == nil {
			err = stream.Send(row.req)
		}
		for err == nil {
			_, err = stream.Recv()
		}
		if status.Code(err) != row.want {
			t.Errorf("%s: got %v, want %v", row.name, err, row.want)
		}
	}
}

func TestServer_sshExitStatus(t *testing.T) {
	f := start(t)
	repo := f.create(t, "a.git")
	stream, err := f.ssh.SSHUploadPack(t.Context())
	must.Succeed(t, err)
	for _, req := range []*gitalypb.SSHUploadPackRequest{{Repository: repo, GitProtocol: "version=2"}, {Stdin: []byte("zzzz")}} {
		must.Succeed(t, stream.Send(req))
	}
	var stdout, stderr strings.Builder
	var exit int32
	for {
		var resp *gitalypb.SSHUploadPackResponse
		if resp, err = stream.Recv(); err != nil {
			break
		}
		stdout.Write(resp.GetStdout())
		stderr.Write(resp.GetStderr())
		if s := resp.GetExitStatus(); s != nil {
			exit = s.GetValue()
		}
	}
	if !strings.Contains(stdout.String(), "version 2") {
		t.Errorf("got %q, want protocol version 2", stdout.String())
	}
	if exit != 128 || !strings.Contains(stderr.String(), "fatal") || status.Code(err) != codes.Internal {
		t.Errorf("got exit status %d, %q, %v, want 128, a reason, Internal", exit, stderr.String(), err)
	}
}
