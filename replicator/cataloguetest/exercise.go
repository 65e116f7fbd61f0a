// Package cataloguetest owns the contract of replicator.Catalogue as a suite. It promises that
// every catalogue that passes it behaves alike for the replicator. Tests of the real catalogue, and
// of fakes, run it.
package cataloguetest

import (
	"context"
	"slices"
	"testing"

	"praefect/fsm/state"
)

// Catalogue is replicator.Catalogue, whose tests could not import it otherwise.
type Catalogue interface {
	Add(ctx context.Context, keys []state.Key) error
	Remove(ctx context.Context, keys []state.Key) error
	Page(ctx context.Context, virtualStorage, after string, limit int) ([]string, error)
}

// Exercise runs the suite on an empty catalogue.
func Exercise(t *testing.T, c Catalogue) {
	const vs = "default"
	keys := func(paths ...string) (list []state.Key) {
		for _, path := range paths {
			list = append(list, state.Key{VirtualStorage: vs, RelativePath: path})
		}
		return list
	}
	wants := func(what, after string, limit int, want ...string) {
		t.Helper()
		got, err := c.Page(t.Context(), vs, after, limit)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: got %q, %v, want %q", what, got, err, want)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	wants("at first", "", 10)
	must(c.Add(t.Context(), keys("b.git", "a.git", "C.git", "b.git")))
	must(c.Add(t.Context(), keys("a.git")))
	must(c.Add(t.Context(), nil))
	wants("all, in the order of their bytes", "", 10, "C.git", "a.git", "b.git")
	wants("a page", "", 2, "C.git", "a.git")
	wants("the next page", "a.git", 2, "b.git")
	wants("past the end", "b.git", 2)
	must(c.Remove(t.Context(), keys("a.git", "none.git")))
	must(c.Remove(t.Context(), keys("a.git")))
	must(c.Remove(t.Context(), nil))
	wants("what is left", "", 10, "C.git", "b.git")
}
