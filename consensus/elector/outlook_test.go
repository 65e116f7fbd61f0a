package elector

import (
	"testing"

	"praefect/fsm/state"
)

// TestOutlook_countsWhatIsBusyAndInDoubt: a plan that counted only what is waited for said 0 while
// clients wrote to a repository that the successor lacks.
func TestOutlook_countsWhatIsBusyAndInDoubt(t *testing.T) {
	r := newFixture(t)
	write := func(path, agreeing string, end *state.CloseIntent) {
		paths := []string{path}
		r.apply(1, state.Command{Open: &state.OpenIntent{VirtualStorage: "default", Paths: paths, Kind: state.PrimaryOnly}})
		r.apply(1, state.Command{MarkBehind: &state.MarkBehind{
			VirtualStorage: "default", Paths: paths, Primary: "g1", Epoch: r.vs().Epoch, Agreeing: []string{"g1", agreeing},
		}})
		if end != nil {
			end.VirtualStorage, end.Paths = "default", paths
			r.apply(1, state.Command{Close: end})
		}
	}
	write("behind.git", "g3", &state.CloseIntent{})
	write("busy.git", "g3", nil)
	write("doubt.git", "g3", &state.CloseIntent{InDoubt: true})
	write("well.git", "g2", &state.CloseIntent{})
	for _, tc := range []struct {
		verb    Verb
		storage string
		want    Outlook
	}{
		{Promote, "g2", Outlook{Behind: 3, Busy: 1, InDoubt: 1, Serving: 3}},
		{Promote, "g3", Outlook{Behind: 1, InDoubt: 1, Serving: 3}},
		{Drain, "g1", Outlook{InDoubt: 1, Serving: 2}},
	} {
		op := Operation{Request: Request{Verb: tc.verb, VirtualStorage: "default", Storage: tc.storage}}
		if got := op.Outlook(r.in.View); got != tc.want {
			t.Errorf("%s %s: got %+v, want %+v", tc.verb, tc.storage, got, tc.want)
		}
	}
}
