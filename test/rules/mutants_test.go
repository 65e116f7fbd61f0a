package rules

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// patches returns the planted defects by name, with the text of each.
func patches(t *testing.T) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(root, "test", "mutants", "*.patch"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("%d patches: %v", len(paths), err)
	}
	found := make(map[string][]byte)
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		found[filepath.Base(path)] = text
	}
	return found
}

// TestMutants_patchesApply fails after a change of a line that a patch needs: the patch must change
// in the same commit. Nothing is written: `make mutants` applies each patch, and runs its seed.
func TestMutants_patchesApply(t *testing.T) {
	files(t) // reads the tree, so that a change of it runs this test again
	for name, text := range patches(t) {
		apply := exec.CommandContext(t.Context(), "patch", "-p1", "--dry-run", "--force", "--fuzz=2", "-s")
		apply.Dir, apply.Stdin = root, bytes.NewReader(text)
		if out, err := apply.CombinedOutput(); err != nil {
			t.Errorf("test/mutants/%s does not apply to the tree, make it again: %s", name, bytes.TrimSpace(out))
		}
	}
}
