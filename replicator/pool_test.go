package replicator

import (
	"errors"
	"testing"
	"time"
)

// TestRepair_removesAPoolAfterWhatMayBorrowFromIt has a storage come back that has
// missed that a repository is to borrow no longer, and then that its pool is removed.
func TestRepair_removesAPoolAfterWhatMayBorrowFromIt(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		repair := w.repairing(t, repairs)
		const pool = "@pools/p.git"
		w.put(pool, "0", "g1", "g2", "g3")
		w.put("a.git", "1"+pool, "g1", "g2", "g3")
		w.mustWrite(t, "a.git", "1", false)
		w.mustWrite(t, pool, "", false)
		if out := repair(repairRequest{key: key(pool)}); !errors.Is(out.err, errBorrowed) {
			t.Errorf("removing the pool first: got %v", out.err)
		}
		if got := w.content("g2", pool); got == "" {
			t.Error("the pool is gone, and a.git borrows from it")
		}
		repaired(t, repair, "a.git")
		repaired(t, repair, pool)
		wait(time.Minute) // lingering intents end
		w.wantEqual(t)
	})
}

// TestRepair_doesNotWaitForAPoolForEver never repairs the pool, so that the replicas
// of what borrows from it are in sync without being equal.
func TestRepair_doesNotWaitForAPoolForEver(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		repair := w.repairing(t, repairs)
		w.untracked = "a.git"
		const pool = "@pools/p.git"
		w.put("a.git", "1", "g1", "g2", "g3")
		w.mustWrite(t, pool, "0", false)
		w.mustWrite(t, "a.git", "2"+pool, false)
		repaired(t, repair, "a.git")
		if got := w.content("g2", "a.git"); got != "2" || w.entry("a.git").IsBehind("g2") {
			t.Errorf("content %q, entry %+v", got, w.entry("a.git"))
		}
	})
}

// TestRepair_linksOnceThePoolIsThere makes a repository borrow from a pool that
// another storage does not have yet.
func TestRepair_linksOnceThePoolIsThere(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		repair := w.repairing(t, repairs)
		const pool = "@pools/p.git"
		w.put("a.git", "1", "g1", "g2", "g3")
		w.mustWrite(t, pool, "0", false)
		w.mustWrite(t, "a.git", "1"+pool, false)
		if out := repair(repairRequest{key: key("a.git")}); !errors.Is(out.err, errPoolBehind) {
			t.Errorf("linking to what is not there: got %v", out.err)
		}
		repaired(t, repair, pool)
		repaired(t, repair, "a.git")
		wait(time.Minute)
		w.wantEqual(t)
	})
}
