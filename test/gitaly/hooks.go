package gitaly

import (
	"bufio"
	"bytes"
	"context"
	_ "embed" // the hooks' script
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"praefect/test/gitaly/internal/vote"
	"praefect/test/gitaly/internal/wire"
)

//go:embed hook.sh
var hookScript []byte

const (
	preReceive  = "pre-receive"
	updateHook  = "update"
	postReceive = "post-receive"
	refHook     = "reference-transaction"
)

// hooksDir is where the script is, under the name of each hook that asks.
func (s *storage) hooksDir() string {
	return filepath.Join(s.dir, wire.DataPrefix, "hooks")
}

// writeHooks puts the script in place if it is not there: git takes an absent
// hook for one that agrees, so it is looked for before each use.
func (s *storage) writeHooks() error {
	if _, err := os.Stat(s.hooksDir()); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// A child that is started meanwhile would hold a script open, and git could not run it.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	return within(s.ownTempDir, func(dir string) error {
		draft := filepath.Join(dir, "hooks")
		if err := os.Mkdir(draft, 0o755); err != nil {
			return err
		}
		for _, name := range []string{preReceive, updateHook, postReceive, refHook} {
			if err := os.WriteFile(filepath.Join(draft, name), hookScript, 0o755); err != nil {
				return err
			}
		}
		err := os.Rename(draft, s.hooksDir())
		if errors.Is(err, fs.ErrExist) { // another call was faster
			return nil
		}
		return err
	})
}

// hooking are the commands of git that change references by themselves.
var hooking = []string{"receive-pack", "update-ref", "fetch"}

// wantsHooks reports whether the hooks of a command must ask: to vote, or to
// run the repository's own.
func (c *command) wantsHooks(tx *vote.Transaction) bool {
	switch {
	case c.program != "":
		return true
	case !slices.Contains(hooking, c.args[0]):
		return false
	case tx != nil:
		return true
	}
	return c.args[0] == "receive-pack" && c.repo.hasCustomHooks()
}

func (r *repository) hasCustomHooks() bool {
	_, err := os.Stat(filepath.Join(r.path, customHooks))
	return err == nil
}

// hookServer answers the hooks of one git process.
type hookServer struct {
	repo *repository
	tx   *vote.Transaction
	// hears tells that the call fails if a vote does when the effect is there.
	hears bool
	conn  *net.UnixConn
	stop  context.CancelFunc // ends votes that no hook waits for any more
	done  chan struct{}      // closed when no hook can ask any more

	// failed is why a hook was last told no; late is why a vote failed when the
	// effect was there. Written by serve, read once done is closed.
	failed error
	late   error
}

// withHooks lets the command's hooks ask; the caller ends the server when the
// command has ended.
func (c *command) withHooks(ctx context.Context, tx *vote.Transaction) (*hookServer, error) {
	if err := c.repo.storage.writeHooks(); err != nil {
		return nil, fmt.Errorf("write hooks: %w", err)
	}
	local, remote, err := socketPair()
	if err != nil {
		return nil, err
	}
	c.env = append(slices.Clip(c.env), fmt.Sprintf("TEST_GITALY_HOOKS=%d", passedFrom+len(c.pass)))
	c.config = append(slices.Clip(c.config), "core.hooksPath="+c.repo.storage.hooksDir())
	c.pass = append(slices.Clip(c.pass), remote)
	ctx, stop := context.WithCancel(ctx)
	hears := c.hears || c.args[0] == "receive-pack"
	s := &hookServer{repo: c.repo, tx: tx, hears: hears, conn: local, stop: stop, done: make(chan struct{})}
	go s.serve(ctx)
	return s, nil
}

// end hangs up and returns why a hook said no to a command that failed with
// err, or to one that could not know.
func (s *hookServer) end(err error) error {
	s.stop()
	closeErr := s.conn.Close()
	<-s.done
	switch {
	case s.late != nil:
		return s.late
	case err != nil && s.failed != nil:
		return s.failed
	case err != nil:
		return err
	}
	return closeErr
}

// serve answers questions until the connection ends: a hook's question, the lines that
// git told it, and a line with a dot.
func (s *hookServer) serve(ctx context.Context) {
	defer close(s.done)
	r := bufio.NewReader(s.conn)
	for {
		question, lines, err := readQuestion(r)
		if err != nil {
			return // hung up: git has ended, or was told to
		}
		answer, err := s.answer(ctx, question, lines)
		if err != nil {
			answer = "no " + strings.ReplaceAll(err.Error(), "\n", " ")
			s.failed = err
		}
		if _, err := fmt.Fprintln(s.conn, answer); err != nil {
			return
		}
	}
}

func readQuestion(r *bufio.Reader) (question []string, lines []byte, err error) {
	first, err := r.ReadString('\n')
	if err != nil {
		return nil, nil, err
	}
	for {
		line, err := r.ReadBytes('\n')
		if err != nil {
			return nil, nil, err
		}
		if string(line) == ".\n" {
			return strings.Fields(first), lines, nil
		}
		lines = append(lines, line...)
	}
}

// answer returns the answer to a hook's question: "ok", or "run" and "skip" to the question
// whether to run the repository's own.
func (s *hookServer) answer(ctx context.Context, question []string, lines []byte) (string, error) {
	hook := question[0]
	switch {
	case hook == refHook && question[1] == "committed":
		// git does not hear a no any more; the caller that runs it may.
		if err := s.voteOnRefs(ctx, vote.Committed, lines); s.hears {
			s.late = err
		}
		return "ok", nil
	case hook == refHook:
		return "ok", s.voteOnRefs(ctx, vote.Prepared, lines)
	case len(question) == 1 && s.tx.Primary():
		return "run", nil
	case len(question) == 1:
		return "skip", s.synchronize(ctx, hook)
	case question[1] != "0" && hook != postReceive: // the repository's own hook refused
		return "no", s.repo.stop(ctx, s.tx)
	}
	return "ok", s.synchronize(ctx, hook)
}

// voteOnRefs votes on a transaction of git's. One that only tidies up, by deleting
// packed references of any value, is none of a user's.
func (s *hookServer) voteOnRefs(ctx context.Context, phase vote.Phase, lines []byte) error {
	changes := false
	for line := range bytes.Lines(lines) {
		changes = changes || !bytes.HasPrefix(line, []byte(zeroOID+" "+zeroOID+" "))
	}
	if !changes {
		return nil
	}
	return s.tx.Vote(ctx, s.repo.place(), phase, vote.Of(lines))
}

// synchronize waits until the primary has run a hook, so that no storage runs
// ahead of it.
func (s *hookServer) synchronize(ctx context.Context, hook string) error {
	err := s.tx.Vote(ctx, s.repo.place(), vote.Synchronized, vote.Of(fmt.Appendf(nil, "synchronize %s hook", hook)))
	if hook == postReceive && err != nil {
		s.late = err
	}
	return err
}
