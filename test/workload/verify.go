package workload

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"praefect/test/cluster"
)

// Made is a commit that a client was told is on a branch.
type Made struct{ Path, Branch, ID string }

// Verify looks on the disk of a storage, past all servers, for every commit that was
// acknowledged, and names the missing ones. The traffic has been stopped, nothing is
// left to repair, and the storages are equal, which is for cluster.WaitConverged to
// tell.
func (t *Traffic) Verify(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return VerifyMade(ctx, t.c.StoragesOf(t.virtualStorage)[0], t.made)
}

// VerifyMade is Verify for commits that other clients have made.
func VerifyMade(ctx context.Context, storage *cluster.Storage, all []Made) error {
	byPath := make(map[string][]Made)
	for _, m := range all {
		byPath[m.Path] = append(byPath[m.Path], m)
	}
	for path, made := range byPath {
		if err := verify(ctx, filepath.Join(storage.Dir, path), made); err != nil {
			return err
		}
	}
	return nil
}

// verify looks in one repository.
func verify(ctx context.Context, dir string, made []Made) error {
	text, err := git(ctx, dir, "for-each-ref", "--format=%(refname) %(objectname)")
	if err != nil {
		return fmt.Errorf("look for acknowledged commits: %w", err)
	}
	tips := make(map[string]string)
	for line := range strings.Lines(text) {
		ref, id, _ := strings.Cut(strings.TrimSpace(line), " ")
		tips[ref] = id
	}
	below := make(map[string]map[string]bool) // the commits of a branch, if one was asked for
	for _, a := range made {
		ref := "refs/heads/" + a.Branch
		if tips[ref] == a.ID {
			continue
		}
		if tips[ref] != "" && below[ref] == nil {
			text, err := git(ctx, dir, "rev-list", ref)
			if err != nil {
				return fmt.Errorf("look for acknowledged commits: %w", err)
			}
			below[ref] = make(map[string]bool)
			for _, id := range strings.Fields(text) {
				below[ref][id] = true
			}
		}
		if !below[ref][a.ID] {
			return fmt.Errorf("the acknowledged commit %s of %s is missing in %q", a.ID, a.Branch, a.Path)
		}
	}
	return nil
}
