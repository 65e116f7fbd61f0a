package proxy

import (
	"slices"
	"testing"
	"time"

	"praefect/fsm/routing"
	"praefect/fsm/state"
	"praefect/proxy/router"
)

// TestExplain_isOfThisInstance: by its view, its connections, its lease and its settings.
func TestExplain_isOfThisInstance(t *testing.T) {
	key := state.Key{VirtualStorage: "default", RelativePath: "a.git"}
	w := newFixture(t)
	got := w.server.Explain(key)
	if !got.Leased || got.Paused || got.Rule != router.AnyInSync || len(got.Reads) != 3 || got.Write.Primary != "gitaly-1" || got.Index != w.node.View().Index {
		t.Errorf("got %+v", got)
	}
	// The storages of this fixture have no backchannel.
	if got.Write.Votes || got.Write.Mute == "" || got.Eventual {
		t.Errorf("got %+v", got)
	}
	w.session.mu.Lock()
	w.session.pauses = []routing.WritePause{{ID: "1", VirtualStorage: "default", Until: w.session.Now() + time.Hour}, {ID: "2", VirtualStorage: "other", Until: 0}}
	w.session.mu.Unlock()
	if got := w.server.Explain(key); !got.Paused {
		t.Errorf("under a switchover: got %+v", got)
	}
	if w.server.ledger.Paused("other") {
		t.Error("a pause that is over still holds")
	}
	w.session.lose(true)
	if got := w.server.Explain(key); got.Leased {
		t.Errorf("without a lease: got %+v", got)
	}
	if got := newFixtureWith(t, Config{Eventual: true}).server.Explain(key); !got.Eventual || got.Write.Votes || got.Write.Mute != "" {
		t.Errorf("eventual: got %+v", got)
	}
}

// TestExplain_votes: with a backchannel every storage votes.
func TestExplain_votes(t *testing.T) {
	w := newVotingFixture(t, gitBackend)
	got := w.server.Explain(state.Key{VirtualStorage: "default", RelativePath: "a.git"})
	if !got.Write.Votes || !slices.Equal(got.Write.Others, []string{"gitaly-2", "gitaly-3"}) {
		t.Errorf("got %+v", got.Write)
	}
}
