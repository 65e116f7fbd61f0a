package consensus

import (
	"errors"
	"testing"
	"time"

	"praefect/fsm/state"
	"praefect/test/must"
)

// TestNode_staysOutWhenTooOld: an instance whose log goes on with what a later
// program wrote ends with an error that says so, at once and when it is started
// again; and its disk is as it was, for the later program to go on from.
func TestNode_staysOutWhenTooOld(t *testing.T) {
	dir := t.TempDir()
	first := begin(t, dir).ready(t)
	first.must(t, define())
	_ = first.library.Raft().Apply(append([]byte{state.Level + 1}, `{"unheard":"of"}`...), time.Second).Error() // the log takes anything
	for _, i := range []*instance{first, nil} {
		if i == nil {
			must.Succeed(t, first.Close())
			i = begin(t, dir)
		}
		err := i.end(t)
		level := (*state.LevelError)(nil)
		if !errors.Is(err, ErrTooOld) || !errors.As(err, &level) {
			t.Fatalf("ended: %v", err)
		}
		if _, err := i.Propose(t.Context(), openIntent("a")); !errors.Is(err, ErrNotProposed) {
			t.Errorf("proposed afterwards: %v", err)
		}
	}
}

// TestNode_proposesNothingAboveTheLevel: neither by its own queue nor as leader.
func TestNode_proposesNothingAboveTheLevel(t *testing.T) {
	i := begin(t, t.TempDir()).ready(t)
	refused := &state.Refusal{Reason: state.RefusedLevel}
	i.proposer.allows = func([]state.Command) error { return refused }
	before := i.CommitIndex()
	_, queued := i.Propose(t.Context(), define())
	_, asLeader := i.ProposeAs(t.Context(), i.Term(), define())
	for _, err := range []error{queued, asLeader} {
		if !errors.Is(err, ErrNotProposed) || !errors.Is(err, refused) {
			t.Errorf("got %v", err)
		}
	}
	if after := i.CommitIndex(); after != before {
		t.Errorf("the log went from %d to %d", before, after)
	}
}
