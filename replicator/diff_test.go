package replicator

import (
	"slices"
	"strings"
	"testing"

	"praefect/fsm/state"
	"praefect/test/must"
)

// Two replicas are compared reference by reference, and a storage that has none of the repository is
// told from one that has an empty one.
func TestReplicator_diff(t *testing.T) {
	founded(t, func(t *testing.T, w *fixture) {
		w.put("a.git", "a:x main:ab", "g1")
		w.put("a.git", "b:y main:ac", "g2")
		r := w.replicator(Config{})
		diff := func(here, there string) (string, bool, bool) {
			var found []string
			hereHas, thereHas, err := r.Diff(t.Context(), state.Key{VirtualStorage: vsName, RelativePath: "a.git"}, here, there, func(d Difference) bool {
				found = append(found, d.Name+" "+d.Here+"|"+d.There)
				return true
			})
			must.Succeed(t, err)
			return strings.Join(found, ", "), hereHas, thereHas
		}
		got, hereHas, thereHas := diff("g1", "g2")
		if want := "a x|, b |y, main ab|ac"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if !hereHas || !thereHas {
			t.Errorf("has: %v, %v", hereHas, thereHas)
		}
		if got, hereHas, thereHas := diff("g3", "g1"); got != "a |x, main |ab" || hereHas || !thereHas {
			t.Errorf("one has none: got %q, %v, %v", got, hereHas, thereHas)
		}
		if got, _, _ := diff("g1", "g1"); got != "" {
			t.Errorf("with itself: got %q", got)
		}
		givenUp, notCompared := r.GivenUp(t.Context(), state.Key{VirtualStorage: vsName, RelativePath: "a.git"}, "g1", []string{"g2", "g3"})
		if len(givenUp) != 2 || len(notCompared) != 0 || givenUp[0].Differing != 3 || !givenUp[1].There.Absent {
			t.Errorf("given up: %+v, %v", givenUp, notCompared)
		}
		if !slices.ContainsFunc(givenUp[0].Sample, func(d state.DifferingReference) bool {
			return d.Name == "b" && d.Here == "" && d.There != ""
		}) {
			t.Errorf("given up: %+v", givenUp[0])
		}
	})
}
