package proxy

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/fsm/state"
)

// inConflict puts a repository in conflict.
func (w *fixture) inConflict(path string) {
	w.t.Helper()
	key := state.Key{VirtualStorage: "default", RelativePath: path}
	w.node.must(w.t, state.Command{Open: &state.OpenIntent{VirtualStorage: "default", Paths: []string{path}, Kind: state.PrimaryOnly}})
	w.node.must(w.t, state.Command{MarkBehind: &state.MarkBehind{
		VirtualStorage: "default", Paths: []string{path}, Primary: "gitaly-1", Epoch: w.node.View().VirtualStorage("default").Epoch, Agreeing: []string{"gitaly-1"},
	}})
	w.node.must(w.t, state.Command{MarkConflict: &state.MarkConflict{
		Key: key, Conflicts: []state.Conflict{{Storage: "gitaly-3", Primary: "gitaly-1", Time: 1}}, AsOf: w.node.View().Entry(key).Changed,
	}})
	w.node.must(w.t, state.Command{Close: &state.CloseIntent{VirtualStorage: "default", Paths: []string{path}}})
}

// TestConflicts_servedOrRefused: as the settings say; the refusal names the command that ends it, and no storage is asked.
func TestConflicts_servedOrRefused(t *testing.T) {
	for _, refuse := range []bool{false, true} {
		w := newFixtureWith(t, Config{RefuseConflicts: refuse})
		w.create("a.git")
		w.create("b.git")
		w.closed("a.git")
		w.inConflict("a.git")
		_, readErr := w.refExists(t.Context(), "a.git", "refs/heads/main")
		writeErr := w.writeRef(t.Context(), "a.git", "refs/heads/main", "1111111111111111111111111111111111111111")
		for what, err := range map[string]error{"read": readErr, "write": writeErr} {
			if !refuse && err != nil {
				t.Errorf("served: a %s ended with %v", what, err)
			}
			if refuse && (status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "praefectctl accept-dataloss -virtual-storage default -repository a.git")) {
				t.Errorf("refused: a %s ended with %v", what, err)
			}
		}
		if got := w.server.Explain(state.Key{VirtualStorage: "default", RelativePath: "a.git"}); refuse != (got.ReadRefused != nil && got.WriteRefused != nil) {
			t.Errorf("explained: %+v", got)
		}
		// Another repository is not concerned.
		if _, err := w.refExists(t.Context(), "b.git", "refs/heads/main"); err != nil {
			t.Errorf("another repository: %v", err)
		}
		w.closed("a.git")
		w.node.must(t, state.Command{AcceptLoss: &state.AcceptLoss{Key: state.Key{VirtualStorage: "default", RelativePath: "a.git"}, Storage: "gitaly-1"}})
		if _, err := w.refExists(t.Context(), "a.git", "refs/heads/main"); err != nil {
			t.Errorf("once a side was chosen: %v", err)
		}
	}
}
