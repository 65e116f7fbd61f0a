package state

import (
	"fmt"
	"strings"
	"testing"

	"praefect/test/must"
)

// lossOf makes a repository lost on all storages but one, and accepts that.
func (w *fixture) acceptLoss(path, storage string) {
	w.t.Helper()
	w.must(alpha, paths(open(PrimaryOnly, "p"), path))
	behind := markBehind("p")
	behind.MarkBehind.Paths = []string{path}
	w.must(alpha, behind, paths(closing(false), path))
	w.must(alpha, Command{AcceptLoss: &AcceptLoss{
		Key: Key{vs, path}, Storage: storage, By: "operator: accept-dataloss (alice@desk): disk gone", NotCompared: []string{"r"},
		GivenUp: []Conflict{{Storage: "p", Primary: storage, Differing: 1, Sample: []DifferingReference{{Name: "refs/heads/main", Here: "a", There: "b"}}}},
	}})
}

// An accepted loss is recorded with everything that is asked about it later, and a snapshot keeps the record.
func TestAcceptLoss_isRecorded(t *testing.T) {
	w := newFixture(t)
	w.acceptLoss(repo, "q")
	if len(w.Losses) != 1 {
		t.Fatalf("got %+v", w.Losses)
	}
	got := fmt.Sprintf("%+v", w.Losses[0])
	for _, want := range []string{"RelativePath:" + repo, "Storage:q", "Behind:[q r]", "refs/heads/main", "NotCompared:[r]", "alice@desk", fmt.Sprint("Index:", w.Index)} {
		if !strings.Contains(got, want) {
			t.Errorf("got %s, want %q in it", got, want)
		}
	}
	restored, err := ReadSnapshot(strings.NewReader(snapshotOf(t, w.State)))
	must.Succeed(t, err)
	recovered := restored.Recover(Recovery{ClusterID: "new"})
	for what, s := range map[string]*State{"the snapshot": restored, "a recovery": recovered} {
		if len(s.Losses) != 1 || fmt.Sprintf("%+v", s.Losses[0]) != got {
			t.Errorf("%s has %+v, want %s", what, s.Losses, got)
		}
	}
}

// The records have an end: the oldest go, and are counted.
func TestAcceptLoss_recordsAreBounded(t *testing.T) {
	s := &State{}
	for i := range LossesKept + 3 {
		next := s.begin(s.Index+1, Batch{})
		next.noteLoss(AcceptedLoss{Key: Key{vs, fmt.Sprintf("r%d.git", i)}, Storage: "q"})
		s = next.end()
	}
	if len(s.Losses) != LossesKept || s.LossesDropped != 3 || s.Losses[0].RelativePath != "r3.git" {
		t.Errorf("%d records, %d dropped, the first is of %s", len(s.Losses), s.LossesDropped, s.Losses[0].RelativePath)
	}
	if err := s.checkLosses(); err != nil {
		t.Error(err)
	}
	many := &AcceptLoss{Key: Key{vs, repo}, Storage: "q", GivenUp: []Conflict{{Storage: "p", Sample: make([]DifferingReference, ConflictSample+1)}}}
	if many.invalid() == "" {
		t.Error("more references than fit are taken")
	}
	if twice := (&AcceptLoss{Key: Key{vs, repo}, Storage: "q", GivenUp: []Conflict{{Storage: "p"}}, NotCompared: []string{"p"}}); twice.invalid() == "" {
		t.Error("a storage that was compared and was not is taken")
	}
}
