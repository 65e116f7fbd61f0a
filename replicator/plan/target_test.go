package plan

import (
	"errors"
	"testing"

	"praefect/fsm/state"
)

func TestChoose_rules(t *testing.T) {
	serving := &state.Storage{Name: "g2", State: state.Serving}
	refilled := &state.Storage{Name: "g2", State: state.Backfilling}
	added := &state.Storage{Name: "g2", State: state.Backfilling, New: true}
	for _, row := range []struct {
		name   string
		target *state.Storage
		found  Finding
		want   Verb
		err    string
		asks   bool
	}{
		{name: "copy", target: serving, found: Finding{Source: true}, want: VerbCopy},
		{name: "copy although deleted once", target: serving, found: Finding{Source: true, Deleted: true}, want: VerbCopy},
		{name: "copy onto a backfilling one", target: added, found: Finding{Source: true}, want: VerbCopy},
		{name: "deleted", target: serving, found: Finding{Deleted: true}, want: VerbRemove},
		{name: "deleted, backfilling", target: refilled, found: Finding{Deleted: true}, want: VerbRemove},
		{name: "nobody has it", target: serving, want: VerbNone},
		{name: "nobody has it, backfilling", target: added, want: VerbNone},
		{
			name: "a serving storage has what the primary lacks", target: serving, found: Finding{Target: true},
			err: `the primary lacks a repository that "g2" has`,
		},
		{name: "left on a disk that came back", target: refilled, found: Finding{Target: true}, want: VerbRemove, asks: true},
		{
			name: "left on a disk, and on a serving storage", target: refilled, found: Finding{Target: true, Witness: "g3"}, asks: true,
			err: `the primary lacks a repository that "g3" has`,
		},
		{
			name: "a new storage came with it", target: added, found: Finding{Target: true},
			err: `"g2" had the repository before it was added, and no other storage has it: move it away, or track it`,
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := MustAsk(row.target, row.found); got != row.asks {
				t.Errorf("asks the witnesses: %v, want %v", got, row.asks)
			}
			got, err := Choose(row.target, row.found)
			if got != row.want {
				t.Errorf("verb %v, want %v", got, row.want)
			}
			if text := errorText(err); text != row.err {
				t.Errorf("error %q, want %q", text, row.err)
			}
			if _, foreign := errors.AsType[*ForeignError](err); foreign != (row.target.New && row.err != "") {
				t.Errorf("foreign: %v", foreign)
			}
		})
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
