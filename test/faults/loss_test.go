package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"praefect/test/cluster"
	"praefect/test/must"
	"praefect/test/workload"
)

// unsearched lets automatic failover work, and searches for missing repairs only once an hour: a
// repair that starts has been asked for.
const unsearched = `
[failover]
return_after = "1s"
return_after_max = "2s"
mass_failure_window = "0s"
[consistency]
intent_linger = "300ms"
[reconciliation]
scheduling_interval = "1h"
`

// Exit codes of praefectctl.
const (
	exitDone, exitDegraded, exitUnavailable, exitRefused = 0, 3, 4, 5
)

// told is what a command of praefectctl printed, and its exit code.
type told struct {
	*testing.T
	command, out string
	code         int
}

// operator runs praefectctl as a person who has nothing else.
func operator(t *testing.T, c *cluster.Cluster, args ...string) told {
	t.Helper()
	out, code, err := c.Praefectctl(t.Context(), args...)
	must.Succeed(t, err)
	return told{t, "praefectctl " + strings.Join(args, " "), out, code}
}

// wrong says what is not as wanted: the exit code, or a text that is missing.
func (o told) wrong(code int, parts ...string) error {
	if o.code != code {
		return fmt.Errorf("%s: exit code %d, want %d:\n%s", o.command, o.code, code, o.out)
	}
	for _, part := range parts {
		if !strings.Contains(o.out, part) {
			return fmt.Errorf("%s: no %q in:\n%s", o.command, part, o.out)
		}
	}
	return nil
}

// says wants the exit code and every text.
func (o told) says(code int, parts ...string) {
	o.Helper()
	must.Succeed(o, o.wrong(code, parts...))
}

// answered runs a command until it ends as wanted: instances hear of a fault one after the other.
func answered(t *testing.T, c *cluster.Cluster, args []string, code int, parts ...string) {
	t.Helper()
	eventually(t, settleLimit, func(context.Context) error { return operator(t, c, args...).wrong(code, parts...) })
}

// TestPraefectctl_throughALoss takes an operator through the loss of a primary that alone had the
// last writes, with praefectctl and nothing else: what is lost, what the replicas that are left
// have, the decision and its record, and the repair that follows at once.
func TestPraefectctl_throughALoss(t *testing.T) {
	t.Parallel()
	c := start(t, cluster.Options{Instances: 3, Settings: unsearched})
	first, second, third := c.Storages[0], c.Storages[1], c.Storages[2]
	h, to := workload.NewHistory(), clientOf(c, vs)
	made(t, to, h, "a.git", "b.git", "whole.git")
	eventually(t, settleLimit, c.WaitConverged)
	atFirst := heads(t, second, "a.git")

	// gitaly-3 misses one commit, gitaly-2 another, and gitaly-1 has both and dies.
	lose := func(s *cluster.Storage, subject string, paths ...string) {
		t.Helper()
		must.Succeed(t, s.Kill())
		answered(t, c, []string{"status"}, exitDegraded, s.Name+"  secondary  out (dead)")
		for _, path := range paths {
			eventually(t, settleLimit, func(ctx context.Context) error {
				_, err := to.Commit(ctx, path, "main", subject)
				return err
			})
		}
	}
	lose(third, "of two", "a.git")
	lose(second, "of gitaly-1 alone", "a.git", "b.git")
	ofTwo, lost := heads(t, second, "a.git"), heads(t, first, "a.git")
	if ofTwo == atFirst || lost == ofTwo {
		t.Fatalf("gitaly-3 has %s, gitaly-2 %s, gitaly-1 %s: want three states", atFirst, ofTwo, lost)
	}
	must.Succeed(t, first.Kill())
	for _, s := range []*cluster.Storage{second, third} {
		must.Succeed(t, s.Start())
	}

	// What is the matter?
	answered(t, c, []string{"status"}, exitUnavailable, "gitaly-1", "out (dead)", "2 repositories")
	answered(t, c, []string{"explain", "a.git"}, exitUnavailable, "a.git in default: unavailable", "behind: gitaly-2, gitaly-3", "no-source", "gitaly-1")
	answered(t, c, []string{"dataloss"}, exitUnavailable, "a.git", "b.git", "2 of them unavailable")
	if out := operator(t, c, "dataloss").out; strings.Contains(out, "whole.git") {
		t.Errorf("dataloss names a repository that nothing is lost of:\n%s", out)
	}
	// A client hears the same.
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	if _, err := to.Commit(ctx, "a.git", "main", "in vain"); err == nil || !strings.Contains(err.Error(), "praefectctl dataloss") {
		t.Errorf("a write to what is lost: got %v, want it to name the command", err)
	}
	cancel()

	// Which replica is the better one?
	answered(t, c, []string{"dataloss", "diff", "a.git", "gitaly-2", "gitaly-3"}, exitDegraded, "refs/heads/main", "gitaly-2: behind", "gitaly-3: behind", "references that differ: 1")
	answered(t, c, []string{"dataloss", "diff", "b.git", "gitaly-2", "gitaly-3"}, exitDone, "references that differ: 0")

	// The plan, and what the tool refuses.
	file := filepath.Join(t.TempDir(), "losses.txt")
	text := "# the host of gitaly-1 burnt\n" + vs + " a.git gitaly-2\n" + vs + " b.git gitaly-2\n" + vs + " whole.git gitaly-2\n"
	must.Succeed(t, os.WriteFile(file, []byte(text), 0o600))
	operator(t, c, "accept-dataloss", "-file", file, "-dry-run").says(exitDone, "a.git", "b.git", "ACKNOWLEDGED WRITES ARE LOST", "nothing is lost: left out", "to be accepted: 2")
	operator(t, c, "accept-dataloss", "-file", file, "-confirm", "3").says(exitRefused)
	operator(t, c, "dataloss").says(exitUnavailable, "2 of them unavailable")
	operator(t, c, "dataloss", "accepted").says(exitDone, "accepted losses: 0")

	// The decision, its record, and who hears of it.
	const why = "the host of gitaly-1 burnt"
	operator(t, c, "accept-dataloss", "-file", file, "-confirm", "2", "-why", why).says(exitDone, "losses accepted: 2; failed: 0; not lost: 1")
	operator(t, c, "dataloss", "accepted").says(exitDone, "a.git", "b.git", "gitaly-1: not known, could not be asked", why, "accepted losses: 2")
	operator(t, c, "history").says(exitDone, "gitaly-2", why, "a.git", "b.git")
	operator(t, c, "events").says(exitDone, "a.git: loss accepted", "b.git: loss accepted", why)

	// The repair follows, although no search for missing repairs is due.
	answered(t, c, []string{"dataloss"}, exitDone, "a.git", "0 of them unavailable")
	eventually(t, settleLimit, func(context.Context) error {
		if got := heads(t, third, "a.git"); got != ofTwo {
			return fmt.Errorf("gitaly-3 has %s, want %s", got, ofTwo)
		}
		return behindAlone(operator(t, c, "dataloss", "-o", "json").out, "gitaly-1")
	})
	eventually(t, settleLimit, func(ctx context.Context) error {
		_, err := to.Commit(ctx, "b.git", "main", "goes on")
		return err
	})

	// The burnt host returns with its disk: it gets what was chosen.
	must.Succeed(t, first.Start())
	eventually(t, settleLimit, c.WaitConverged)
	answered(t, c, []string{"status"}, exitDone, "healthy")
	answered(t, c, []string{"explain", "a.git"}, exitDone, "a.git in default: clean")
	for _, s := range c.Storages {
		if got := heads(t, s, "a.git"); got != ofTwo {
			t.Errorf("in the end %s has %s, want %s", s.Name, got, ofTwo)
		}
	}
}

// heads are the branches of a repository on a storage's disk with their values.
func heads(t *testing.T, s *cluster.Storage, path string) string {
	t.Helper()
	out, err := bareGit(t.Context(), filepath.Join(s.Dir, path), "for-each-ref", "refs/heads/")
	must.Succeed(t, err)
	return out
}

// behindAlone wants every repository that dataloss lists to be behind on one storage alone.
func behindAlone(document, storage string) error {
	var answer struct {
		Repositories []struct {
			RelativePath string `json:"relative_path"`
			Behind       []string
		}
	}
	if err := json.Unmarshal([]byte(document), &answer); err != nil {
		return fmt.Errorf("%w: %s", err, document)
	}
	if len(answer.Repositories) == 0 {
		return errors.New("dataloss names no repository")
	}
	for _, r := range answer.Repositories {
		if len(r.Behind) != 1 || r.Behind[0] != storage {
			return fmt.Errorf("%s is behind on %q, want %s alone", r.RelativePath, r.Behind, storage)
		}
	}
	return nil
}
