package plan

import (
	"testing"

	"praefect/fsm/state"
)

func TestRemaking_decide(t *testing.T) {
	vs := func(edit func(*state.VirtualStorage)) *state.VirtualStorage {
		v := &state.VirtualStorage{Name: "v", Epoch: 1, Succession: []state.Storage{
			{Name: "g1", State: state.Serving, FilesystemID: "1"},
			{Name: "g2", State: state.Serving, FilesystemID: "2"},
			{Name: "g3", State: state.Serving, FilesystemID: "3"},
		}}
		if edit != nil {
			edit(v)
		}
		return v
	}
	behind := &state.Entry{Behind: []string{"g3"}}
	for name, row := range map[string]struct {
		edit func(*Remaking)
		want Remake
	}{
		"copies failed":            {nil, RemakeNow},
		"too few failed":           {func(r *Remaking) { r.Copies = 2 }, RemakeNot},
		"its objects are gone":     {func(r *Remaking) { r.Copies, r.Broken = 1, true }, RemakeNow},
		"it is in sync":            {func(r *Remaking) { r.Entry = &state.Entry{} }, RemakeNot},
		"the ledger lists nothing": {func(r *Remaking) { r.Entry = nil }, RemakeNot},
		"it is the primary":        {func(r *Remaking) { r.Target = "g1" }, RemakeNot},
		"it was removed":           {func(r *Remaking) { r.Target = "g9" }, RemakeNot},
		"something is in doubt": {func(r *Remaking) {
			r.Entry = &state.Entry{Behind: []string{"g3"}, Intents: []state.Intent{{Incarnation: 1, InDoubt: &state.Doubt{At: 1}}}}
		}, RemakeNot},
		"another primary":       {func(r *Remaking) { r.Source = "g2" }, RemakeNot},
		"the primary is fenced": {func(r *Remaking) { r.VS = vs(func(v *state.VirtualStorage) { v.Succession[0].State = state.Fenced }) }, RemakeNot},
		"no other is in sync":   {func(r *Remaking) { r.VS = vs(func(v *state.VirtualStorage) { v.Succession = v.Succession[2:] }) }, RemakeNot},
		"it is in conflict": {func(r *Remaking) {
			r.Entry = &state.Entry{Behind: []string{"g3"}, Conflicts: []state.Conflict{{Storage: "g3"}}}
		}, RemakeNot},
		"what it has was not compared": {func(r *Remaking) {
			r.VS = vs(func(v *state.VirtualStorage) { v.Succession[2].Uncompared = state.UncomparedLater })
		}, RemakeNot},
		"on the disk of the primary":    {func(r *Remaking) { r.VS = vs(func(v *state.VirtualStorage) { v.Succession[2].FilesystemID = "1" }) }, RemakeInVain},
		"others borrow from it":         {func(r *Remaking) { r.Lends = true }, RemakeInVain},
		"it was made again":             {func(r *Remaking) { r.Remade = true }, RemakeInVain},
		"many fail on its storage":      {func(r *Remaking) { r.Failing = 11 }, RemakeStorage},
		"as many as may fail":           {func(r *Remaking) { r.Failing = 10 }, RemakeNow},
		"enough others are made again":  {func(r *Remaking) { r.Running = 2 }, RemakeLater},
		"the only other one in sync is": {func(r *Remaking) { r.Entry = &state.Entry{Behind: []string{"g2", "g3"}} }, RemakeNow},
	} {
		t.Run(name, func(t *testing.T) {
			r := Remaking{VS: vs(nil), Entry: behind, Target: "g3", Source: "g1", Copies: 3, After: 3, Failing: 1, Most: 10, Limit: 2}
			if row.edit != nil {
				row.edit(&r)
			}
			got, why := r.Decide()
			if got != row.want || (why == "") != (got == RemakeNot || got == RemakeLater) {
				t.Errorf("got %d (%q), want %d", got, why, row.want)
			}
		})
	}
}
