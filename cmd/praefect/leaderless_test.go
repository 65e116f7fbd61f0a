package main

import (
	"strings"
	"testing"

	"praefect/consensus/session"
	"praefect/proxy/admin"
)

// An operator that moves a primary or removes a storage without a leader is told where to look next.
func TestErrors_withoutALeaderNameTheNextStep(t *testing.T) {
	for name, err := range map[string]error{"promote": switchError(session.ErrNotLeading), "remove": removalError(session.ErrNotLeading)} {
		if admin.KindOf(err) != admin.NoLeader || !strings.Contains(err.Error(), "praefectctl raft status") || !strings.Contains(err.Error(), "ask again") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
