package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDocs_nameEveryMutant keeps the table of the docs true.
func TestDocs_nameEveryMutant(t *testing.T) {
	docs, err := os.ReadFile(filepath.Join("..", "..", "docs", "simulation.md"))
	if err != nil {
		t.Fatal(err)
	}
	patches, err := filepath.Glob("*.patch")
	if err != nil || len(patches) == 0 {
		t.Fatalf("%d patches: %v", len(patches), err)
	}
	for _, patch := range patches {
		text, err := os.ReadFile(patch)
		if err != nil {
			t.Fatal(err)
		}
		f, err := named(text)
		if err != nil {
			t.Errorf("%s: %v", patch, err)
			continue
		}
		row := fmt.Sprintf("| `%s` | %d |", strings.TrimSuffix(patch, ".patch"), f.seed)
		if f.test != "" {
			row = fmt.Sprintf("| `%s` | `%s` |", strings.TrimSuffix(patch, ".patch"), f.test)
		}
		if !strings.Contains(string(docs), row) {
			t.Errorf("docs/simulation.md does not say %q", row)
		}
	}
}

func TestNamed_refusesPatchesWithoutSeed(t *testing.T) {
	if _, err := named([]byte("Rule: x\n--- a\nSeed: 1\n")); err == nil {
		t.Error("a seed was found in the patch itself")
	}
	if f, err := named([]byte("Rule: x\nSeed: 7\nSeeds: 20\n\n--- a\n")); err != nil || f.seed != 7 || f.seeds != 20 {
		t.Errorf("got %+v, %v", f, err)
	}
	if f, err := named([]byte("Rule: x\nTest: ./proxy TestVote_x\n\n--- a\n")); err != nil || f.pkg != "./proxy" || f.test != "TestVote_x" {
		t.Errorf("got %+v, %v", f, err)
	}
}
