package upgrade

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"praefect/test/cluster"
)

// previous is the commit that the file names.
func previous() (string, error) {
	text, err := os.ReadFile("previous")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			return line, nil
		}
	}
	return "", fmt.Errorf("test/upgrade/previous names no commit")
}

// buildPrevious builds the praefect of the previous release and returns its path.
func buildPrevious(t *testing.T) string {
	t.Helper()
	commit, err := previous()
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join("..", "..")
	if out, err := git(t.Context(), root, "cat-file", "-e", commit+"^{commit}"); err != nil {
		t.Skipf("the history lacks commit %s of the previous release: this is a shallow clone, or no clone; `git fetch --unshallow` mends it (%v: %s)", commit, err, out)
	}
	source := t.TempDir()
	archive := filepath.Join(source, "source.tar")
	if out, err := git(t.Context(), root, "archive", "-o", archive, commit); err != nil {
		t.Fatalf("git archive %s: %v: %s", commit, err, out)
	}
	if out, err := exec.CommandContext(t.Context(), "tar", "-xf", archive, "-C", source).CombinedOutput(); err != nil {
		t.Fatalf("unpack %s: %v: %s", archive, err, out)
	}
	program := filepath.Join(source, "previous-praefect")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags=-w -X main.version=previous", "-o", program, "./cmd/"+cluster.Praefect)
	build.Dir = source
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the previous release %s: %v: %s", commit, err, out)
	}
	return program
}

func git(ctx context.Context, dir string, args ...string) (string, error) {
	c := exec.CommandContext(ctx, "git", args...)
	c.Dir = dir
	out, err := c.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}
