package plan

import (
	"testing"

	"praefect/fsm/state"
)

func TestChoose_rules(t *testing.T) {
	target := &state.Storage{Name: "g2", State: state.Serving}
	for _, row := range []struct {
		name  string
		found Finding
		want  Verb
		err   string
	}{
		{name: "copy", found: Finding{Source: true}, want: VerbCopy},
		{name: "copy although deleted once", found: Finding{Source: true, Deleted: true}, want: VerbCopy},
		{name: "deleted", found: Finding{Deleted: true}, want: VerbRemove},
		{name: "nobody has it", want: VerbNone},
		{name: "the primary lacks it", found: Finding{Target: true}, err: `the primary lacks a repository that "g2" has`},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := Choose(target, row.found)
			if got != row.want {
				t.Errorf("verb %v, want %v", got, row.want)
			}
			if text := errorText(err); text != row.err {
				t.Errorf("error %q, want %q", text, row.err)
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
