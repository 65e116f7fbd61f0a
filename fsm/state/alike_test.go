package state

import (
	"fmt"
	"maps"
	"testing"
)

// counted are the groups of the state's entries, by key; recounted those that a walk finds.
func counted(s *State) map[string]int {
	groups := map[string]int{}
	for i := range s.VirtualStorages {
		vs := s.VirtualStorages[i].Name
		for e, n := range s.Alike(vs) {
			groups[string(appendAlike(nil, vs, e))] += n
		}
	}
	return groups
}

func recounted(s *State) map[string]int {
	groups := map[string]int{}
	s.Each("", func(k Key, e *Entry) bool {
		groups[string(appendAlike(nil, k.VirtualStorage, e))]++
		return true
	})
	return groups
}

// TestState_Alike_standsForItsGroup: what readers ask of an entry they may ask of the one that
// stands for it.
func TestState_Alike_standsForItsGroup(t *testing.T) {
	s := ledgerOf(t, 30)
	if got, want := counted(s), recounted(s); !maps.Equal(got, want) || len(got) != 2 {
		t.Errorf("groups %v, want %v", got, want)
	}
	if got := s.Len(); got != 30 {
		t.Errorf("%d entries, want 30", got)
	}
	if got := s.Behind(vs, "r"); got != 30 {
		t.Errorf("r is behind in %d entries, want 30", got)
	}
	if got := s.Count(vs, (*Entry).HasLive); got != 10 {
		t.Errorf("%d entries have live intents, want 10", got)
	}
	if got := s.Unavailable(vs); got != 0 {
		t.Errorf("%d entries are unavailable, want none", got)
	}
}

// TestState_From_skipsWhatIsBefore: a page of a list costs what is on it.
func TestState_From_skipsWhatIsBefore(t *testing.T) {
	s := ledgerOf(t, 30)
	var all, from []string
	s.Each(vs, func(k Key, _ *Entry) bool { all = append(all, k.RelativePath); return true })
	s.From(Key{vs, all[20]}, func(k Key, _ *Entry) bool { from = append(from, k.RelativePath); return true })
	if got, want := fmt.Sprint(from), fmt.Sprint(all[20:]); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	s.From(Key{vs, all[29] + "0"}, func(k Key, _ *Entry) bool { t.Errorf("%q is before", k.RelativePath); return true })
}
