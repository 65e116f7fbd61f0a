package workload

import (
	"context"
	"os"

	"praefect/test/cluster"
)

// Checkout is a clone on the disk of a developer that pushes from it. It belongs to
// one goroutine.
type Checkout struct {
	// Dir is where it lies.
	Dir string

	cluster *cluster.Cluster
}

// Clone clones the repository of a URL into a directory that does not exist.
func Clone(ctx context.Context, c *cluster.Cluster, url, dir string) (*Checkout, error) {
	_, err := c.Git(ctx, os.TempDir(), "clone", "--quiet", url, dir)
	return &Checkout{Dir: dir, cluster: c}, err
}

// Push makes a commit, returns its id, and pushes it to a branch of a repository.
func (w *Checkout) Push(ctx context.Context, url, branch, subject string) (id string, err error) {
	if _, err = w.cluster.Git(ctx, w.Dir, "commit", "--quiet", "--allow-empty", "--message", subject); err != nil {
		return "", err
	}
	if id, err = w.cluster.Git(ctx, w.Dir, "rev-parse", "HEAD"); err != nil {
		return "", err
	}
	_, err = w.cluster.Git(ctx, w.Dir, "push", "--quiet", url, "HEAD:refs/heads/"+branch)
	return id, err
}

// Reset goes to where a branch of a repository is.
func (w *Checkout) Reset(ctx context.Context, url, branch string) error {
	if _, err := w.cluster.Git(ctx, w.Dir, "fetch", "--quiet", url, "refs/heads/"+branch); err != nil {
		return err
	}
	_, err := w.cluster.Git(ctx, w.Dir, "reset", "--quiet", "--hard", "FETCH_HEAD")
	return err
}
