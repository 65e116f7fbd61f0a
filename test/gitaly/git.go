package gitaly

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"praefect/test/gitaly/internal/vote"
)

const (
	// killAfter is how long a git process may take to end once it was told to.
	killAfter = 5 * time.Second
	// repeatAfter is when it is told again. git forks with signals blocked: a
	// child made at that moment does not get the signal that its parent gets.
	repeatAfter = 200 * time.Millisecond
	// stderrKept is how much of the end of git's complaints an error carries.
	stderrKept = 2 << 10
)

// git runs the git program.
type git struct {
	program string
}

// command is one run of git.
type command struct {
	// program is run instead of git, in the repository; one of its hooks.
	program string

	repo   *repository // the repository it works in
	hears  bool        // minds the answer about a change of references when it is done
	config []string    // key=value, beyond the settings of all commands
	args   []string
	env    []string
	stdin  io.Reader // an *os.File is closed here once git has it
	stdout io.Writer
	stderr io.Writer  // besides the end of it in the error
	pass   []*os.File // become descriptors passedFrom and up; closed here likewise
}

// passedFrom is the descriptor of the first file that a command is passed:
// the storage's lock comes before it.
const passedFrom = 4

// withoutSpace runs a program that can write nothing to any file, as on a full disk: it can
// make files and remove them, and its pipes work. A limit that ends no process is the only way
// without privileges.
const withoutSpace = `trap '' XFSZ; ulimit -f 0; exec "$0" "$@"`

// gitError is a git process that ran and ended badly.
type gitError struct {
	command string // the subcommand
	code    int    // -1: ended by a signal
	stderr  string
}

// Error returns git's message.
func (e *gitError) Error() string {
	return fmt.Sprintf("git %s: exit status %d: %s", e.command, e.code, strings.TrimSpace(e.stderr))
}

// run runs git until it ends, or tells it to end when ctx does: git removes
// its lock files and leaves no half-done reference behind, unless a fault has it
// killed. Its error is a
// *gitError, or wraps ctx's.
//
// Where references change, git's hooks ask the storages of the call's
// transaction; their answer comes first.
func (g *git) run(ctx context.Context, c command) error {
	tx := vote.From(ctx)
	if !c.wantsHooks(tx) {
		return g.start(ctx, c)
	}
	hooks, err := c.withHooks(ctx, tx)
	if err != nil {
		return errors.Join(err, c.handOver())
	}
	return hooks.end(g.start(ctx, c))
}

// process is the process of a command, not started yet, without its input and output.
func (g *git) process(ctx context.Context, c command) *exec.Cmd {
	cmd := exec.CommandContext(ctx, g.program, c.arguments()...)
	cmd.Dir = c.repo.storage.dir
	cmd.Env = append(environment(), c.env...)
	if c.program != "" {
		cmd = exec.CommandContext(ctx, c.program, c.args[1:]...)
		cmd.Dir = c.repo.path
		cmd.Env = append(environment(), append(c.env, "GIT_DIR=.")...)
	}
	cmd.ExtraFiles = append([]*os.File{c.repo.storage.lock}, c.pass...)
	// A group of its own, so that the processes that git starts end with it. Should this
	// process be killed, the kernel tells git to end.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	return cmd
}

// start runs git without minding its hooks.
func (g *git) start(ctx context.Context, c command) error {
	cmd := g.process(ctx, c)
	if vote.Fills(c.repo.place().Faults, c.repo.relative()) {
		cmd.Path, cmd.Args = "/bin/sh", append([]string{"sh", "-c", withoutSpace}, cmd.Args...)
	}
	cmd.Stdin = c.stdin
	cmd.Stdout = c.stdout
	said := &tail{limit: stderrKept}
	cmd.Stderr = said
	if c.stderr != nil {
		cmd.Stderr = io.MultiWriter(said, c.stderr)
	}
	var repeat *time.Timer // written by Cancel, which has ended when Wait has
	killed := false        // likewise
	cmd.Cancel = func() error {
		if killed = vote.Kills(c.repo.place().Faults, c.repo.relative()); killed {
			return signalGroup(cmd.Process.Pid, syscall.SIGKILL)
		}
		repeat = time.AfterFunc(repeatAfter, func() {
			_ = signalGroup(cmd.Process.Pid, syscall.SIGTERM) // mostly none is left
		})
		return signalGroup(cmd.Process.Pid, syscall.SIGTERM)
	}
	cmd.WaitDelay = killAfter

	if err := c.repo.storage.running.enter(c.repo.path); err != nil {
		return fmt.Errorf("start git %s: %w", c.args[0], errors.Join(err, c.handOver()))
	}
	started := cmd.Start()
	handedOver := c.handOver()
	defer func() { c.repo.storage.running.leave(c.repo.path, ctx.Err() != nil && !killed) }()
	if started != nil {
		return fmt.Errorf("start git %s: %w", c.args[0], errors.Join(started, handedOver))
	}
	err := cmd.Wait()
	if repeat != nil {
		repeat.Stop()
	}
	if err == nil {
		return handedOver
	}
	if ctx.Err() != nil {
		// Each process of the group that withstood the first signal goes now.
		if err := signalGroup(cmd.Process.Pid, syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return err
		}
		return fmt.Errorf("git %s: %w", c.args[0], context.Cause(ctx))
	}
	if _, ok := errors.AsType[*exec.ExitError](err); ok {
		return &gitError{command: c.args[0], code: cmd.ProcessState.ExitCode(), stderr: said.String()}
	}
	return fmt.Errorf("git %s: %w", c.args[0], err)
}

// handOver closes the files that now belong to git alone, so that its end is seen.
func (c *command) handOver() error {
	var faults []error
	for _, file := range c.pass {
		faults = append(faults, file.Close())
	}
	if file, ok := c.stdin.(*os.File); ok {
		faults = append(faults, file.Close())
	}
	return errors.Join(faults...)
}

// output runs git and returns its output.
func (g *git) output(ctx context.Context, c command) ([]byte, error) {
	var out bytes.Buffer
	c.stdout = &out
	err := g.run(ctx, c)
	return out.Bytes(), err
}

// version returns the version of the git program, as Gitaly reports it.
func (g *git) version(ctx context.Context) (string, error) {
	cmd := exec.CommandContext(ctx, g.program, "version")
	cmd.Env = environment()
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("run %q: %w", g.program, err)
	}
	return strings.TrimPrefix(strings.TrimSpace(string(out)), "git version "), nil
}

func (c *command) arguments() []string {
	args := []string{"--git-dir=" + c.repo.path}
	for _, pair := range c.config {
		args = append(args, "-c", pair)
	}
	return append(args, c.args...)
}

// environment is all that git gets to know of this process: nothing of the user's
// settings may change the outcome of a test.
func environment() []string {
	env := []string{
		"PATH=" + os.Getenv("PATH"),
		"LC_ALL=C",
		"GIT_CONFIG_NOSYSTEM=1",
		"GIT_CONFIG_GLOBAL=" + os.DevNull,
		"GIT_TERMINAL_PROMPT=0",
	}
	settings := [][2]string{
		{"safe.directory", "*"},
		{"init.defaultBranch", "main"},
		{"gc.auto", "0"},
		{"maintenance.auto", "false"},
		{"receive.autoGC", "false"},
		{"receive.fsckObjects", "true"},
		{"receive.advertisePushOptions", "true"},
		{"uploadpack.allowFilter", "true"},
		{"uploadpack.allowAnySHA1InWant", "true"},
		{"core.hooksPath", os.DevNull},
		{"core.useReplaceRefs", "false"},
		// A writer waits for another one's lock rather than fail at once.
		{"core.filesRefLockTimeout", "1000"},
		{"core.packedRefsTimeout", "10000"},
		// Data that the kernel has survives the death of any process; only the loss
		// of power would need more, and no test pulls that plug.
		{"core.fsync", "none"},
		// Larger blobs are streamed, not held in memory.
		{"core.bigFileThreshold", "16m"},
		{"protocol.fd.allow", "always"},
	}
	env = append(env, "GIT_CONFIG_COUNT="+strconv.Itoa(len(settings)))
	for i, pair := range settings {
		env = append(env, fmt.Sprintf("GIT_CONFIG_KEY_%d=%s", i, pair[0]), fmt.Sprintf("GIT_CONFIG_VALUE_%d=%s", i, pair[1]))
	}
	return env
}

// signalGroup signals the process group of pid; os.ErrProcessDone says that
// none of it is left.
func signalGroup(pid int, signal syscall.Signal) error {
	err := syscall.Kill(-pid, signal)
	switch {
	case errors.Is(err, syscall.ESRCH):
		return os.ErrProcessDone
	case err != nil:
		return fmt.Errorf("signal process group %d: %w", pid, err)
	}
	return nil
}

// tail keeps the end of the text written to it.
type tail struct {
	limit int
	kept  []byte
}

// Write keeps the end of p.
func (t *tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p...)
	if over := len(t.kept) - t.limit; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
	return len(p), nil
}

// String returns the kept end.
func (t *tail) String() string { return string(t.kept) }
