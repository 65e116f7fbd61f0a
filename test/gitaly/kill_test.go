package gitaly_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"

	"praefect/test/gitaly"
	"praefect/test/gitaly/gitalytest"
	"praefect/test/must"
)

// serveDir, when set, makes the test binary a server of that directory.
const serveDir = "TEST_GITALY_SERVE_DIR"

// serveForKilling serves until the process is killed.
func serveForKilling(dir string) {
	err := func() error {
		server, err := gitaly.New(gitaly.Config{Storages: map[string]string{"one": dir}, Token: token})
		if err != nil {
			return err
		}
		lis, address, err := gitaly.Listen(context.Background(), "tcp://127.0.0.1:0")
		if err != nil {
			return err
		}
		fmt.Println(address)
		return server.Run(context.Background(), lis)
	}()
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// process is a server in a process of its own.
type process struct {
	fixture
	cmd *exec.Cmd
}

func startProcess(t *testing.T, dir string) *process {
	t.Helper()
	self, err := os.Executable()
	must.Succeed(t, err)
	p := &process{fixture: fixture{dir: map[string]string{"one": dir}}, cmd: exec.Command(self)}
	p.cmd.Env = append(os.Environ(), serveDir+"="+dir)
	p.cmd.Stderr = os.Stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdout, err := p.cmd.StdoutPipe()
	must.Succeed(t, err)
	must.Succeed(t, p.cmd.Start())
	t.Cleanup(p.kill)
	if _, err := fmt.Fscanln(stdout, &p.address); err != nil {
		t.Fatalf("read address: %v", err)
	}
	p.clients = newClients(gitalytest.Dial(t, p.address, token))
	return p
}

// kill ends the process as a crash would, and waits until it is gone.
func (p *process) kill() {
	if p.cmd.ProcessState != nil {
		return
	}
	_ = p.cmd.Process.Kill() // it may have ended by itself; Wait is what counts
	_ = p.cmd.Wait()         // says that it was killed
}

// A killed server leaves nothing that its successor stumbles over, and no
// git process that goes on behind the successor's back.
func TestServer_killed(t *testing.T) {
	dir := t.TempDir()
	p := startProcess(t, dir)
	repo := p.create(t, "a.git")
	objects := p.seed(t, repo)
	clone, commit := work(t, 2<<20)
	data := pushOf(t, clone, "refs/heads/pushed", zero, commit)
	written := make(map[string]string)
	for round := range 3 {
		for i := range 5 {
			ref := fmt.Sprintf("refs/heads/%d-%d", round, i)
			p.write(t, repo, ref, objects.Commits[i%3])
			written[ref] = objects.Commits[i%3]
		}
		stream, err := p.ssh.SSHReceivePack(t.Context())
		must.Succeed(t, err)
		must.Succeed(t, stream.Send(&gitalypb.SSHReceivePackRequest{Repository: repo, GlId: "key-1"}))
		if _, err := stream.Recv(); err != nil { // git runs, and has sent its references
			t.Fatalf("push: %v", err)
		}
		for chunk := range chunks(data[:len(data)/2], 100_000) {
			must.Succeed(t, stream.Send(&gitalypb.SSHReceivePackRequest{Stdin: chunk}))
		}
		p.kill()
		for err == nil {
			_, err = stream.Recv()
		}
		if errors.Is(err, io.EOF) {
			t.Error("the killed server said that the push succeeded")
		}
		p = startProcess(t, dir)
		listed := git(t, p.path(repo), nil, "for-each-ref", "--format=%(refname) %(objectname)")
		for ref, oid := range written {
			if !strings.Contains(listed, ref+" "+oid) {
				t.Errorf("acknowledged reference %q is lost", ref)
			}
		}
	}
	answer, err := p.push(t.Context(), repo, data)
	if err != nil || !strings.Contains(answer, "ok refs/heads/pushed") {
		t.Errorf("push: got %q, %v", answer, err)
	}
	git(t, p.path(repo), nil, "fsck", "--full", "--strict", "--connectivity-only")
	left, err := filepath.Glob(filepath.Join(p.path(repo), "objects", "tmp_*"))
	if err != nil || len(left) > 0 {
		t.Errorf("got %v, %v, want nothing left", left, err)
	}
}
