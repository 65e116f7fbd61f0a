package state

import (
	"fmt"
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
			before := w.entry()
			got := w.try(max(r.by, alpha), r.do(w))
			if r.refused != "" {
				if got.Refusal == nil || got.Refusal.Reason != r.refused {
					t.Fatalf("got %v, want refused (%s)", got.Refusal, r.refused)
				}
				if !reflect.DeepEqual(w.entry(), before) {
					t.Errorf("a refused command changed %q to %q", before, w.entry())
				}
				return
			}
			if got.Refusal != nil {
				t.Fatal(got.Refusal)
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
			before := fmt.Sprintf("%+v", w.VirtualStorages)
			got := w.try(alpha, r.do(w))
			if r.refused != "" {
				if got.Refusal == nil || got.Refusal.Reason != r.refused {
					t.Fatalf("got %v, want refused (%s)", got.Refusal, r.refused)
				}
				if after := fmt.Sprintf("%+v", w.VirtualStorages); after != before {
					t.Errorf("a refused command changed %s to %s", before, after)
				}
				return
			}
			if got.Refusal != nil {
				t.Fatal(got.Refusal)
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
