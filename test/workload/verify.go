package workload

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
)

// acknowledgement is a commit that a client was told is there.
type acknowledgement struct{ path, branch, id string }

// Verify looks on the disk of a storage, past all servers, for every commit that was
// acknowledged, and names what is missing. The traffic has been stopped, nothing is
// left to repair, and the storages are equal, which is for cluster.WaitConverged to
// tell.
func (t *Traffic) Verify(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	storage := t.c.StoragesOf(t.virtualStorage)[0]
	byBranch := make(map[[2]string][]string)
	for _, a := range t.made {
		at := [2]string{a.path, a.branch}
		byBranch[at] = append(byBranch[at], a.id)
	}
	for at, ids := range byBranch {
		path, branch := at[0], at[1]
		text, err := git(ctx, filepath.Join(storage.Dir, path), "rev-list", "refs/heads/"+branch)
		if err != nil {
			return fmt.Errorf("look for acknowledged commits: %w", err)
		}
		found := make(map[string]bool)
		for _, id := range strings.Fields(text) {
			found[id] = true
		}
		for _, id := range ids {
			if !found[id] {
				return fmt.Errorf("the acknowledged commit %s of %s is missing in %q", id, branch, path)
			}
		}
	}
	return nil
}
