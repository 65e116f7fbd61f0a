package replicator

import (
	"errors"
	"testing"

	"praefect/fsm/state"
)

func TestChooseVerb_rules(t *testing.T) {
	serving := &state.Storage{Name: "g2", Standing: state.Serving}
	refilled := &state.Storage{Name: "g2", Standing: state.Filling}
	added := &state.Storage{Name: "g2", Standing: state.Filling, New: true}
	for _, row := range []struct {
		name   string
		target *state.Storage
		found  finding
		want   verb
		err    string
		asks   bool
	}{
		{name: "copy", target: serving, found: finding{source: true}, want: verbCopy},
		{name: "copy although deleted once", target: serving, found: finding{source: true, deleted: true}, want: verbCopy},
		{name: "copy onto a filling one", target: added, found: finding{source: true}, want: verbCopy},
		{name: "deleted", target: serving, found: finding{deleted: true}, want: verbRemove},
		{name: "deleted, filling", target: refilled, found: finding{deleted: true}, want: verbRemove},
		{name: "nobody has it", target: serving, want: verbNone},
		{name: "nobody has it, filling", target: added, want: verbNone},
		{
			name: "a serving storage has what the primary lacks", target: serving, found: finding{target: true},
			err: `the primary lacks a repository that "g2" has`,
		},
		{name: "left on a disk that came back", target: refilled, found: finding{target: true}, want: verbRemove, asks: true},
		{
			name: "left on a disk, and on a serving storage", target: refilled, found: finding{target: true, witness: "g3"}, asks: true,
			err: `the primary lacks a repository that "g3" has`,
		},
		{
			name: "a new storage came with it", target: added, found: finding{target: true},
			err: `"g2" had the repository before it was added, and no other storage has it: move it away, or track it`,
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := mustAsk(row.target, row.found); got != row.asks {
				t.Errorf("asks the witnesses: %v, want %v", got, row.asks)
			}
			got, err := chooseVerb(row.target, row.found)
			if got != row.want {
				t.Errorf("verb %v, want %v", got, row.want)
			}
			if text := errorText(err); text != row.err {
				t.Errorf("error %q, want %q", text, row.err)
			}
			if _, foreign := errors.AsType[*foreignError](err); foreign != (row.target.New && row.err != "") {
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
