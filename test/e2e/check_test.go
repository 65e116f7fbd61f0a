package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"praefect/proxy/admin"
	"praefect/test/cluster"
)

// settleLimit bounds the time until nothing is left to repair, on a busy machine.
const settleLimit = 2 * time.Minute

// settled waits until nothing is left to repair and checks the whole state: the
// ledger and the queue are empty, every replica is sound and equal to the
// others, and has what the history says. It looks at the disks themselves.
func settled(t *testing.T, c *cluster.Cluster, h *history) {
	t.Helper()
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), settleLimit)
	defer cancel()
	if err := c.WaitConverged(ctx); err != nil {
		t.Fatal(err)
	}
	t.Logf("nothing was left to repair after %v", time.Since(began).Round(time.Millisecond))
	for _, i := range c.Instances {
		loss, err := i.Admin().Dataloss(ctx, admin.DatalossRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if len(loss.Repositories) > 0 {
			t.Errorf("%s names repositories with data loss: %+v", i.Label(), loss.Repositories)
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.surprises = 0
	for p, r := range h.repositories {
		surprises, faults := r.check(ctx, p, c.StoragesOf(p.virtualStorage))
		h.surprises += surprises
		for _, fault := range faults {
			t.Errorf("repository %q of %q: %s", p.path, p.virtualStorage, fault)
		}
	}
}

// check compares the replicas of a repository with each other and with what is
// known of it. Surprises are commits that were not acknowledged and are there.
func (r *record) check(ctx context.Context, p place, storages []*cluster.Storage) (surprises int, faults []string) {
	first, err := readReplica(ctx, storages[0], p.path)
	if err != nil {
		return 0, []string{err.Error()}
	}
	for _, s := range storages[1:] {
		other, err := readReplica(ctx, s, p.path)
		switch {
		case err != nil:
			faults = append(faults, err.Error())
		case other != first:
			faults = append(faults, fmt.Sprintf("replicas differ: on %s\n%son %s\n%s", storages[0].Label(), first, s.Label(), other))
		}
	}
	if there := first != ""; !slices.Contains(r.there, there) {
		faults = append(faults, fmt.Sprintf("it exists: %v, want one of %v", there, r.there))
	}
	if first == "" {
		return 0, faults
	}
	refs := make(map[string]string)
	for line := range strings.Lines(string(first)) {
		id, ref, _ := strings.Cut(strings.TrimSpace(line), " ")
		refs[ref] = id
	}
	for ref, possible := range r.refs {
		if !slices.Contains(possible, refs[ref]) {
			faults = append(faults, fmt.Sprintf("%s is %q, want one of %q", ref, refs[ref], possible))
		}
	}
	for branch, attempts := range r.branches {
		n, wrong := checkBranch(ctx, storages[0], p.path, "refs/heads/"+branch, refs, attempts)
		surprises, faults = surprises+n, append(faults, wrong...)
	}
	return surprises, faults
}

// checkBranch wants every acknowledged commit on the branch once, in its order,
// and nothing that nobody made. The other replicas have the same branch.
func checkBranch(ctx context.Context, s *cluster.Storage, path, ref string, refs map[string]string, attempts []attempt) (surprises int, faults []string) {
	var found []string
	if refs[ref] != "" {
		text, err := gitOnDisk(ctx, s, path, "log", "--reverse", "--format=%s", ref)
		if err != nil {
			return 0, []string{err.Error()}
		}
		found = strings.Fields(text)
	}
	next := 0
	for _, a := range attempts {
		switch {
		case next < len(found) && found[next] == a.subject:
			next++
			if !a.acknowledged && !a.inherited {
				surprises++
			}
		case a.acknowledged:
			faults = append(faults, fmt.Sprintf("%s lacks the acknowledged commit %q; it has %q", ref, a.subject, found))
		}
	}
	if next < len(found) {
		faults = append(faults, fmt.Sprintf("%s has %q, which nobody made there; it has %q", ref, found[next], found))
	}
	return surprises, faults
}

// replica is one replica as it lies on the disk: its HEAD and references, a line
// each; empty if there is none.
type replica string

// exists tells whether a storage has a replica.
func exists(_ context.Context, s *cluster.Storage, path string) (bool, error) {
	_, err := os.Stat(filepath.Join(s.Dir, path))
	if err != nil && !os.IsNotExist(err) {
		return false, fmt.Errorf("look for a replica of %s: %w", s.Label(), err)
	}
	return err == nil, nil
}

// branchHas makes a function that tells whether main of a replica ends with a
// commit.
func branchHas(subject string) func(context.Context, *cluster.Storage, string) (bool, error) {
	return func(ctx context.Context, s *cluster.Storage, path string) (bool, error) {
		last, err := gitOnDisk(ctx, s, path, "log", "--max-count=1", "--format=%s", "refs/heads/main")
		return strings.TrimSpace(last) == subject, err
	}
}

// readReplica reads a replica and has git check its objects.
func readReplica(ctx context.Context, s *cluster.Storage, path string) (replica, error) {
	if there, err := exists(ctx, s, path); err != nil || !there {
		return "", err
	}
	if _, err := gitOnDisk(ctx, s, path, "fsck", "--strict", "--no-dangling"); err != nil {
		return "", err
	}
	head, err := gitOnDisk(ctx, s, path, "symbolic-ref", "HEAD")
	if err != nil {
		return "", err
	}
	refs, err := gitOnDisk(ctx, s, path, "for-each-ref", "--format=%(objectname) %(refname)")
	if err != nil {
		return "", err
	}
	return replica(strings.TrimSpace(head) + " HEAD\n" + refs), nil
}

// gitOnDisk runs git on a replica past its storage server.
func gitOnDisk(ctx context.Context, s *cluster.Storage, path string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", append([]string{"--git-dir", filepath.Join(s.Dir, path)}, args...)...)
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=/", "LC_ALL=C", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + os.DevNull,
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*",
	}
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("run git %s on %q of %s: %w: %s", args[0], path, s.Label(), err, complaints.String())
	}
	return string(out), nil
}
