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
	"praefect/test/must"
)

// commitIn is the commit that a file names.
func commitIn(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			return line, nil
		}
	}
	return "", fmt.Errorf("test/upgrade/%s names no commit", file)
}

// buildOf builds the praefect of the commit that a file names and returns its path.
func buildOf(t *testing.T, file string) string {
	t.Helper()
	commit, err := commitIn(file)
	must.Succeed(t, err)
	root := filepath.Join("..", "..")
	if out, err := git(t.Context(), root, "cat-file", "-e", commit+"^{commit}"); err != nil {
		t.Skipf("the history lacks commit %s of test/upgrade/%s: this is a shallow clone, or no clone; `git fetch --unshallow` mends it (%v: %s)", commit, file, err, out)
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
		t.Fatalf("build commit %s of test/upgrade/%s: %v: %s", commit, file, err, out)
	}
	return program
}

func git(ctx context.Context, dir string, args ...string) (string, error) {
	c := exec.CommandContext(ctx, "git", args...)
	c.Dir = dir
	out, err := c.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}
