package cluster

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Repositories are the relative paths of all repositories on the storage's disk.
func (s *Storage) Repositories(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the stream if we leave early
	walk, err := gitalypb.NewInternalGitalyClient(s.conn).WalkRepos(ctx, &gitalypb.WalkReposRequest{StorageName: s.Name})
	if err != nil {
		return nil, fmt.Errorf("list the repositories of %s: %w", s.Label(), err)
	}
	var paths []string
	for {
		found, err := walk.Recv()
		if errors.Is(err, io.EOF) {
			return paths, nil
		}
		if err != nil {
			return nil, fmt.Errorf("list the repositories of %s: %w", s.Label(), err)
		}
		paths = append(paths, found.GetRelativePath())
	}
}

// Checksum is over HEAD and all references of a repository on the storage, of which
// Gitaly's own leaves some out; empty if the storage does not have it.
func (s *Storage) Checksum(ctx context.Context, relativePath string) (string, error) {
	sum, err := s.checksum(ctx, &gitalypb.Repository{StorageName: s.Name, RelativePath: relativePath})
	if status.Code(err) == codes.NotFound {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("ask %s for the references of %q: %w", s.Label(), relativePath, err)
	}
	return sum, nil
}

func (s *Storage) checksum(ctx context.Context, repo *gitalypb.Repository) (string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the stream if we leave early
	refs := gitalypb.NewRefServiceClient(s.conn)
	head, err := refs.FindDefaultBranchName(ctx, &gitalypb.FindDefaultBranchNameRequest{Repository: repo, HeadOnly: true})
	if err != nil {
		return "", err
	}
	sum := sha1.New()
	fmt.Fprintf(sum, "%s\n", head.GetName())
	list, err := refs.ListRefs(ctx, &gitalypb.ListRefsRequest{Repository: repo, Patterns: [][]byte{[]byte("refs/")}})
	if err != nil {
		return "", err
	}
	for {
		page, err := list.Recv()
		if errors.Is(err, io.EOF) {
			return hex.EncodeToString(sum.Sum(nil)), nil
		}
		if err != nil {
			return "", err
		}
		for _, ref := range page.GetReferences() {
			fmt.Fprintf(sum, "%s %s\n", ref.GetTarget(), ref.GetName())
		}
	}
}

// Checksums are the checksums of a repository by the names of the storages, asked
// of each directly; empty for one that does not have it.
func (c *Cluster) Checksums(ctx context.Context, virtualStorage, relativePath string) (map[string]string, error) {
	sums := make(map[string]string)
	for _, s := range c.StoragesOf(virtualStorage) {
		sum, err := s.Checksum(ctx, relativePath)
		if err != nil {
			return nil, err
		}
		sums[s.Name] = sum
	}
	return sums, nil
}

// CheckReplicas compares every repository of every storage, past the proxy: nil
// if all storages of each virtual storage have the same ones with the same
// references.
func (c *Cluster) CheckReplicas(ctx context.Context) error {
	for _, v := range c.options.VirtualStorages {
		seen := make(map[string]bool)
		for _, s := range c.StoragesOf(v.Name) {
			paths, err := s.Repositories(ctx)
			if err != nil {
				return err
			}
			for _, path := range paths {
				if seen[path] {
					continue
				}
				seen[path] = true
				if err := c.checkReplicasOf(ctx, v.Name, path); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (c *Cluster) checkReplicasOf(ctx context.Context, virtualStorage, path string) error {
	sums, err := c.Checksums(ctx, virtualStorage, path)
	if err != nil {
		return err
	}
	first := c.StoragesOf(virtualStorage)[0].Name
	for name, sum := range sums {
		if sum != sums[first] {
			return fmt.Errorf("repository %q of %q differs: its checksum is %q on %s and %q on %s",
				path, virtualStorage, sums[first], first, sum, name)
		}
	}
	return nil
}
