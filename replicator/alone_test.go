package replicator

import (
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/fsm/state"
)

// behindAt has the ledger say that a storage misses a write of a repository which all
// have.
func (w *fixture) behindAt(path, content string, storage string) {
	w.put(path, content, "g1", "g2", "g3")
	var agreeing []string
	for _, name := range []string{"g1", "g2", "g3"} {
		if name != storage {
			agreeing = append(agreeing, name)
		}
	}
	w.must(
		state.Command{Open: &state.OpenIntent{VirtualStorage: vsName, Paths: []string{path}, Kind: state.Open}},
		state.Command{MarkBehind: &state.MarkBehind{VirtualStorage: vsName, Paths: []string{path}, Primary: "g1", Agreeing: agreeing,
			Epoch: w.node.View().VirtualStorage(vsName).Epoch}},
		state.Command{Close: &state.CloseIntent{VirtualStorage: vsName, Paths: []string{path}}},
	)
	w.set(storage, path, "old")
}

// A copy onto one storage that ends without a status, time and again, takes no other
// storage out of sync.
func TestRepair_lostCopyLeavesTheOthersInSync(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		repair := w.repairing(t, repairs)
		w.behindAt("a.git", "1", "g3")
		w.meet("g3", "ReplicateRepository", fate{err: status.Error(codes.Unavailable, "connection lost"), lost: true})
		for began := time.Now(); time.Since(began) < 24*time.Hour; time.Sleep(time.Minute) {
			repair(repairRequest{key: key("a.git")})
			synctest.Wait()
			if entry := w.entry("a.git"); entry.IsBehind("g2") || !entry.IsBehind("g3") {
				t.Fatalf("after %v: entry: %+v", time.Since(began), entry)
			}
		}
		w.well()
		repaired(t, repair, "a.git")
		w.wantEqual(t)
	})
}

// A storage that has its copy is in sync, however long another one takes for its own.
func TestRepair_declaresEachTargetWhenItsOwnCopyEnds(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		repair := w.repairing(t, repairs)
		w.mustWrite(t, "a.git", "1", false) // g2 and g3 lack it
		w.meet("g3", "ReplicateRepository", fate{slow: 5 * time.Second})
		done := make(chan outcome)
		go func() { done <- repair(repairRequest{key: key("a.git")}) }()
		time.Sleep(time.Second)
		if entry := w.entry("a.git"); entry.IsBehind("g2") || !entry.IsBehind("g3") {
			t.Errorf("while one is copied to: %+v", entry)
		}
		// Neither does a write wait until all have.
		began := time.Now()
		w.mustWrite(t, "a.git", "2", false)
		if took := time.Since(began); took > time.Second {
			t.Errorf("a write waited for %v", took)
		}
		<-done
		w.well()
		time.Sleep(time.Minute)
		repaired(t, repair, "a.git")
		w.wantEqual(t)
	})
}
