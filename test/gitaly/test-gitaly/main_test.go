package main

import (
	"bufio"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/urfave/cli/v3"
	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/test/gitaly"
	"praefect/test/gitaly/gitalytest"
	"praefect/test/must"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestCommand_servesUntilToldToStop(t *testing.T) {
	dir := t.TempDir()
	tokenFile := filepath.Join(dir, "token")
	must.Succeed(t, os.WriteFile(tokenFile, []byte("secret\n"), 0o600))
	for _, listen := range []string{"tcp://127.0.0.1:0", "unix:" + filepath.Join(t.TempDir(), "s")} {
		stdout, printed := io.Pipe()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			done <- command(printed, io.Discard).Run(ctx, []string{
				"test-gitaly", "-listen", listen, "-storage", "a=" + filepath.Join(dir, "x,y"), "-storage", "b=" + filepath.Join(dir, "b"), "-token-file", tokenFile,
			})
		}()
		address, err := bufio.NewReader(stdout).ReadString('\n')
		must.Succeed(t, err)
		address = strings.TrimSpace(address)
		info, err := gitalypb.NewServerServiceClient(gitalytest.Dial(t, address, "secret")).ServerInfo(t.Context(), &gitalypb.ServerInfoRequest{})
		if err != nil || len(info.GetStorageStatuses()) != 2 {
			t.Errorf("%s: got %v, %v, want two storages", listen, info, err)
		}
		_, err = gitalypb.NewServerServiceClient(gitalytest.Dial(t, address, "")).ServerInfo(t.Context(), &gitalypb.ServerInfoRequest{})
		if status.Code(err) != codes.Unauthenticated {
			t.Errorf("%s: no token: got %v, want Unauthenticated", listen, err)
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("%s: %v", listen, err)
		}
	}
}

func TestCommand_refusesBadFlags(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	must.Succeed(t, os.WriteFile(empty, []byte("\n"), 0o600))
	storage := "a=" + t.TempDir()
	for _, row := range []struct {
		args []string
		want string
	}{
		{nil, "storage"},
		{[]string{"-storage", "a"}, "NAME=DIR"},
		{[]string{"-storage", storage, "-storage", storage}, "twice"},
		{[]string{"-storage", storage, "-token-file", empty}, "empty"},
		{[]string{"-storage", storage, "-token-file", empty + "x"}, "no such file"},
		{[]string{"-storage", storage, "-listen", "127.0.0.1:0"}, "neither"},
		{[]string{"-storage", storage, "surplus"}, "surplus"},
		{[]string{"-storage", storage, "-vote-fault", "sometimes"}, "differ"},
		{[]string{"-storage", storage, "-stop-at", "noon"}, "before-prepared"},
		{[]string{"-storage", storage, "-fault-prefix", "a"}, "-vote-fault"},
	} {
		err := command(io.Discard, io.Discard).Run(t.Context(), append([]string{"test-gitaly"}, row.args...))
		if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%q: got %v, want it to say %q", row.args, err, row.want)
		}
	}
}

func TestConfig_faults(t *testing.T) {
	var got gitaly.Config
	c := command(io.Discard, io.Discard)
	c.Action = func(_ context.Context, c *cli.Command) (err error) {
		got, err = config(c)
		return err
	}
	args := []string{"test-gitaly", "-storage", "a=" + t.TempDir(), "-no-backchannel", "-vote-fault", "late=1s@committed", "-stop-at", "after-committed", "-fault-prefix", "b/"}
	must.Succeed(t, c.Run(t.Context(), args))
	want := gitaly.Fault{Prefix: "b/", Vote: "late=1s@committed", StopAt: "after-committed"}
	if !got.NoBackchannel || len(got.Faults) != 1 || got.Faults[0] != want {
		t.Errorf("got %+v, want no backchannel and the fault %+v", got, want)
	}
}
