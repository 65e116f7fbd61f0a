package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// Git runs git in dir as a client with the given token file: git-remote-gitaly is
// on its path, there is an author, and no setting of the user's has an effect. It
// returns the standard output of git, without the last line's end; the
// error carries its other output.
func (b Binaries) Git(ctx context.Context, tokenFile, dir string, args ...string) (string, error) {
	return b.client(ctx, tokenFile, dir, "git", args...)
}

// CreateRepository makes the empty repository of a URL of an Instance or Storage.
func (b Binaries) CreateRepository(ctx context.Context, tokenFile, url string) error {
	_, err := b.client(ctx, tokenFile, "/", b.Path(GitRemoteGitaly), "create", url)
	return err
}

// Git runs git in dir as a client of the instances; see Binaries.Git.
func (c *Cluster) Git(ctx context.Context, dir string, args ...string) (string, error) {
	return c.Binaries.Git(ctx, c.TokenFile, dir, args...)
}

// CreateRepository makes an empty repository where clients come in and
// returns its URL there.
func (c *Cluster) CreateRepository(ctx context.Context, virtualStorage, relativePath string) (url string, err error) {
	url = c.URL(virtualStorage, relativePath)
	return url, c.Binaries.CreateRepository(ctx, c.TokenFile, url)
}

func (b Binaries) client(ctx context.Context, tokenFile, dir, program string, args ...string) (string, error) {
	const waitDelay = 5 * time.Second // for the processes that a killed git leaves holding its output
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	cmd.Env = append(b.environment(), "GITALY_TOKEN_FILE="+tokenFile,
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME=Author", "GIT_AUTHOR_EMAIL=author@example.com",
		"GIT_COMMITTER_NAME=Author", "GIT_COMMITTER_EMAIL=author@example.com",
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=init.defaultBranch", "GIT_CONFIG_VALUE_0=main")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	// A group of its own, so that the remote helper ends with git.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = waitDelay
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = errors.Join(context.Cause(ctx), err)
		}
		return "", fmt.Errorf("run %s %s: %w: %s", program, strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSuffix(stdout.String(), "\n"), nil
}
