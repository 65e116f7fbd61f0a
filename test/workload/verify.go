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
// acknowledged, and names the missing ones. The traffic has been stopped, nothing is
// left to repair, and the storages are equal, which is for cluster.WaitConverged to
// tell.
func (t *Traffic) Verify(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	storage := t.c.StoragesOf(t.virtualStorage)[0]
	byPath := make(map[string][]acknowledgement)
	for _, a := range t.made {
		byPath[a.path] = append(byPath[a.path], a)
	}
	for path, made := range byPath {
		if err := verify(ctx, filepath.Join(storage.Dir, path), made); err != nil {
			return err
		}
	}
	return nil
}

// verify looks in one repository.
func verify(ctx context.Context, dir string, made []acknowledgement) error {
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
		ref := "refs/heads/" + a.branch
		if tips[ref] == a.id {
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
		if !below[ref][a.id] {
			return fmt.Errorf("the acknowledged commit %s of %s is missing in %q", a.id, a.branch, a.path)
		}
	}
	return nil
}
