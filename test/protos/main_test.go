package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"praefect/test/must"
)

// TestGenerated_isCurrent compares the Go files in the tree with the ones that make generate
// writes: with the same versions of the generator they are the same bytes.
func TestGenerated_isCurrent(t *testing.T) {
	root := filepath.Join("..", "..")
	for _, folder := range packages {
		want, err := generate(t.Context(), root, folder)
		must.Succeed(t, err)
		if len(want) == 0 {
			t.Errorf("%s has no .proto file", folder)
		}
		for name, text := range want {
			got, err := os.ReadFile(filepath.Join(root, name))
			if err != nil || !bytes.Equal(got, text) {
				t.Errorf("%s is not the one of its .proto file (%v): run make generate", name, err)
			}
		}
		committed, err := filepath.Glob(filepath.Join(root, folder, "*.pb.go"))
		must.Succeed(t, err)
		if len(committed) != len(want) {
			t.Errorf("%s has %d generated files, and %d .proto files", folder, len(committed), len(want))
		}
	}
	listed, err := filepath.Glob(filepath.Join(root, "*", "*", "*pb", "*.proto"))
	must.Succeed(t, err)
	known := make(map[string]bool)
	for _, folder := range packages {
		known[filepath.Join(root, folder)] = true
	}
	for _, name := range listed {
		if !known[filepath.Dir(name)] {
			t.Errorf("%s is in no folder that make generate knows", name)
		}
	}
}
