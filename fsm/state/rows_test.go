package state

import (
	"reflect"
	"testing"
)

// rows of a table of commands: what is given, what is done, and either the
// reason of a refusal, which changes nothing, or the entry that results.
type row struct {
	name    string
	given   func(*fixture)
	by      Incarnation // alpha unless set
	do      func(*fixture) Command
	refused Reason
	entry   string
}

func runRows(t *testing.T, rows []row) {
	t.Helper()
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			w := newFixture(t)
			if r.given != nil {
				r.given(w)
			}
			if !w.applies(t, max(r.by, alpha), r.do(w), r.refused, func() any { return w.entry() }) {
				return
			}
			if got := w.entry().String(); got != r.entry {
				t.Errorf("got %q, want %q", got, r.entry)
			}
			if e := w.entry(); e != nil && e.Changed != w.Index {
				t.Errorf("changed at %d, want %d", e.Changed, w.Index)
			}
		})
	}
}

// applies tells whether a command is applied: it is unless a reason to refuse it is given. A refused
// one changes nothing of what is looked at.
func (w *fixture) applies(t *testing.T, by Incarnation, c Command, refused Reason, look func() any) bool {
	t.Helper()
	before := look()
	if got := w.try(by, c); reasonOf(got) != refused {
		t.Fatalf("got %v, want %q", got.Refusal, refused)
	}
	if after := look(); refused != "" && !reflect.DeepEqual(after, before) {
		t.Errorf("a refused command changed %+v to %+v", before, after)
	}
	return refused == ""
}

// stateRow is a row of a table of commands that change states: what is
// given, what is done, and the reason of a refusal, which changes nothing, or the
// succession that results.
type stateRow struct {
	name    string
	given   func(*fixture)
	do      func(*fixture) Command
	refused Reason
	want    string
	entry   string // of the repository, clean unless set
}

func runStateRows(t *testing.T, rows []stateRow) {
	t.Helper()
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			w := newFixture(t)
			if r.given != nil {
				r.given(w)
			}
			if !w.applies(t, alpha, r.do(w), r.refused, func() any { return w.VirtualStorages }) {
				return
			}
			if w.succession() != r.want {
				t.Errorf("got %q, want %q", w.succession(), r.want)
			}
			if r.entry == "" {
				r.entry = "clean"
			}
			if got := w.entry().String(); got != r.entry {
				t.Errorf("got %q, want %q", got, r.entry)
			}
		})
	}
}
