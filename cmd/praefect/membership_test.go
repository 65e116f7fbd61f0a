package main

import (
	"testing"

	"praefect/fsm/state"
)

func TestWasRetired(t *testing.T) {
	view := &state.State{InstanceHistory: []state.Change{
		{What: state.ChangeAdded, Instance: "praefect-2"},
		{What: state.ChangeRetired, Instance: "praefect-3", Why: string(state.ProofRefused)},
	}}
	for name, want := range map[string]bool{"praefect-2": false, "praefect-3": true, "praefect-9": false} {
		same(t, name, wasRetired(view, name), want)
	}
}
