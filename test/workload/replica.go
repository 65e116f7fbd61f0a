package workload

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"praefect/test/cluster"
)

// replica is one replica as it lies on the disk: its HEAD and references, a line
// each; empty if there is none.
type replica string

// Exists tells whether a storage has a replica.
func Exists(_ context.Context, s *cluster.Storage, path string) (bool, error) {
	_, err := os.Stat(filepath.Join(s.Dir, path))
	if err != nil && !os.IsNotExist(err) {
		return false, fmt.Errorf("look for a replica of %s: %w", s.Label(), err)
	}
	return err == nil, nil
}

// BranchHas makes a function that tells whether main of a replica ends with a
// commit.
func BranchHas(subject string) func(context.Context, *cluster.Storage, string) (bool, error) {
	return func(ctx context.Context, s *cluster.Storage, path string) (bool, error) {
		last, err := OnDisk(ctx, s, path, "log", "--max-count=1", "--format=%s", "refs/heads/main")
		return strings.TrimSpace(last) == subject, err
	}
}

// OnDisk runs git on a replica past its storage server.
func OnDisk(ctx context.Context, s *cluster.Storage, path string, args ...string) (string, error) {
	out, err := git(ctx, filepath.Join(s.Dir, path), args...)
	if err != nil {
		return "", fmt.Errorf("%s: %w", s.Label(), err)
	}
	return out, nil
}

// readReplica reads a replica and has git check its objects.
func readReplica(ctx context.Context, s *cluster.Storage, path string) (replica, error) {
	if there, err := Exists(ctx, s, path); err != nil || !there {
		return "", err
	}
	if _, err := OnDisk(ctx, s, path, "fsck", "--strict", "--no-dangling"); err != nil {
		return "", err
	}
	head, err := OnDisk(ctx, s, path, "symbolic-ref", "HEAD")
	if err != nil {
		return "", err
	}
	refs, err := OnDisk(ctx, s, path, "for-each-ref", "--format=%(objectname) %(refname)")
	if err != nil {
		return "", err
	}
	return replica(head + " HEAD\n" + refs), nil
}
