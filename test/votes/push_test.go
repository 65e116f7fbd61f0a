package votes

import (
	"testing"

	"praefect/test/cluster"
	"praefect/test/must"
)

// TestVotes shows in one cluster what votes are for, and what becomes of those who do
// not agree.
func TestVotes(t *testing.T) {
	t.Parallel()
	w := start(t, cluster.Options{})
	for _, test := range []struct {
		name string
		run  func(*testing.T, *harness)
	}{
		{"a push is voted on by three repositories", pushed},
		{"a hook reads what it was called for", fromAHook},
		{"what a hook refuses changes nothing", refused},
		{"a secondary that disagrees is in the ledger first", disagreeing},
		{"two push at the same time", contending},
		{"too few agree where that is not enough", blocked},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, w) })
	}
	w.settled(t)
}

// pushed: all have it when the client has its answer, and nothing is left to do.
func pushed(t *testing.T, w *harness) {
	const path = "group/voted.git"
	w.make(t, path)
	w.equalNow(t, path)
	checkout := w.clone(t, path)
	for _, i := range w.Instances {
		before := w.sum(t, `gitaly_praefect_transactions_total{action="committed"}`)
		id, err := checkout.Push(t.Context(), i.URL(vs, path), "pushed", "pushed")
		must.Succeed(t, err)
		onDisk(t, w.Storages, path, "refs/heads/pushed", id)
		w.equalNow(t, path)
		const votes = 2 * 3 // prepared and committed, of each
		if got := w.sum(t, `gitaly_praefect_transactions_total{action="committed"}`) - before; got < votes {
			t.Errorf("%v votes were answered with commit, want at least %d", got, votes)
		}
		w.lap(t, "pushed through %s", i.Label())
	}
	if short := w.sum(t, "praefect_short_votes_total"); short > 0 {
		t.Errorf("%v rounds of votes were short", short)
	}
}
