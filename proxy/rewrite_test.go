package proxy

import (
	"slices"
	"testing"
)

// RewriteHistory goes to the primary alone, and all others are behind when it has ended: they
// are repaired.
func TestWrite_rewriteHistoryIsAccountedFor(t *testing.T) {
	e := &echo{}
	w := newVotingFixture(t, e.backend)
	m, known := w.server.methods.Lookup("/gitaly.CleanupService/RewriteHistory")
	if !known {
		t.Fatal("no such method")
	}
	if _, err := w.drive(m, m.Rewrite(nil, names(m, "a.git")).Materialize()); err != nil {
		t.Fatal(err)
	}
	for _, a := range e.take() {
		if a.method == m.FullName && a.storage != "gitaly-1" {
			t.Errorf("it arrived at %s", a.storage)
		}
	}
	if entry := w.entry(); entry == nil || !slices.Equal(entry.Behind, []string{"gitaly-2", "gitaly-3"}) {
		t.Errorf("entry: %+v", entry)
	}
	if !slices.Contains(w.repaired(), keyOf("a.git")) {
		t.Errorf("given to be repaired: %v", w.repaired())
	}
}
