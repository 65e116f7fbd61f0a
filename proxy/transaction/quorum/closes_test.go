package quorum

import (
	"strings"
	"testing"
)

// A primary that has cast the last vote of a call that changed nothing puts no storage behind
// that is ready to make the change.
func TestVotes_primaryClosesAlone(t *testing.T) {
	for name, tc := range map[string]struct {
		cfg    Config
		steps  []string
		failed bool
	}{
		"another waits for a hook":         {Config{}, []string{"b=late", "a=late", "c=synced -> a ABORT; b ABORT; c ABORT"}, true},
		"it has locked already":            {Config{}, []string{"c=apple", "b=late", "a=late -> a ABORT; b ABORT; c ABORT"}, true},
		"of two":                           {Config{Voters: []string{"a", "b"}}, []string{"a=late", "b=synced -> a ABORT; b ABORT"}, true},
		"after a hook":                     {Config{Voters: []string{"a", "b"}}, []string{"a=synced", "b=synced -> account a,b harmless", "ok -> a COMMIT; b COMMIT", "b=apple", "a=late -> a ABORT; b ABORT"}, true},
		"too few may do":                   {Config{Voters: []string{"a", "b"}, Copies: 1}, []string{"b=synced", "a=late -> a ABORT; b ABORT"}, true},
		"one of another release":           {Config{Voters: []string{"a", "b"}, OtherRelease: []string{"b"}}, []string{"b=synced", "a=late -> a ABORT; b ABORT"}, false},
		"they close otherwise":             {Config{Voters: []string{"a", "b"}}, []string{"b=last", "a=late -> b ABORT; account a short"}, false},
		"all close":                        {Config{}, []string{"b=late", "c=late", "a=late -> account a,b,c", "ok -> a COMMIT; b COMMIT; c COMMIT"}, false},
		"another closes, it does not":      {Config{}, []string{"b=late", "c=apple", "a=apple -> b ABORT; account a,c"}, false},
		"another is left out already":      {Config{}, []string{"c=apple", "c- -> c ABORT", "b=late", "a=late -> account a,b"}, false},
		"after something had been changed": {Config{Voters: []string{"a", "b"}}, []string{"a=apple", "b=apple -> account a,b", "ok -> a COMMIT; b COMMIT", "b=banana", "a=late -> b ABORT; account a short"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newFixture(tc.cfg)
			for _, line := range tc.steps {
				step, want, _ := strings.Cut(line, " -> ")
				if got := r.do(t, step); got != want {
					t.Errorf("%s: got %q, want %q", step, got, want)
				}
			}
			if got := r.PrimaryFailed(); got != tc.failed {
				t.Errorf("failed: got %t, want %t", got, tc.failed)
			}
			if changed := r.Committed(); len(changed) > 0 && !strings.Contains(name, "changed") && name != "all close" {
				t.Errorf("%v may have changed something", changed)
			}
		})
	}
}
