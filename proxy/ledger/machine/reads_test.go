package machine

import (
	"slices"
	"testing"

	"praefect/fsm/state"
)

// A repository that a write only reads says where the write may go, and is neither
// accounted for nor in doubt.
func TestWrite_readsARepositoryBeside(t *testing.T) {
	r := newVotingFixture(t)
	r.begin(1, beta) // it does not vote: gitaly-2 and gitaly-3 fall behind for beta
	r.end(1, true, true)
	before := *r.state.Entry(beta)
	r.step(Begin{Write: 2, Keys: []state.Key{alpha}, Reads: []state.Key{beta}, Votes: true, Scope: state.Scope{BoundMillis: 64000}})
	if f := r.forwarded(2); f.Storage != "gitaly-1" || len(f.Others) > 0 {
		t.Errorf("forwarded: %+v", f)
	}
	if err := r.vote(2, "gitaly-1"); err != nil {
		t.Fatal(err)
	}
	if err := r.endVoting(2, Ended{}); err != nil { // in doubt
		t.Fatal(err)
	}
	if after := r.state.Entry(beta); after.HasDoubt() || after.Changed != before.Changed {
		t.Errorf("the repository that was read: %+v, before %+v", after, before)
	}
	if e := r.state.Entry(alpha); !e.HasDoubt() || !slices.Equal(e.Behind, []string{"gitaly-2", "gitaly-3"}) {
		t.Errorf("the repository that was written: %+v", e)
	}
}
