package membership

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"praefect/consensus/member"
)

func TestPromotable(t *testing.T) {
	members := func(voters, others int) (all []member.Member) {
		for n := range voters + others {
			all = append(all, member.Member{ID: string(rune('a' + n)), Voter: n < voters})
		}
		return all
	}
	for _, tt := range []struct {
		name           string
		voters, others int
		steady         []string
		want           []string
	}{
		{"one and one that is steady", 1, 1, []string{"b"}, nil},
		{"one and two that are", 1, 2, []string{"b", "c"}, []string{"b", "c"}},
		{"one and two, one of them steady", 1, 2, []string{"c"}, nil},
		{"two, as one was removed", 2, 1, []string{"c"}, []string{"c"}},
		{"two and two", 2, 2, []string{"c", "d"}, []string{"c"}},
		{"three and one", 3, 1, []string{"d"}, nil},
		{"three and two", 3, 2, []string{"d", "e"}, []string{"d", "e"}},
		{"nobody is steady", 2, 2, nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := promotable(members(tt.voters, tt.others), tt.steady); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestDifferingProfile(t *testing.T) {
	status := func(name string, p member.Profile, err string) member.InstanceStatus {
		return member.InstanceStatus{Status: member.Status{Name: name}, Profile: p, Err: err}
	}
	same := []member.InstanceStatus{status("a", member.Fast, ""), status("b", member.Fast, ""), status("c", "", "away")}
	if got := differingProfile(member.Fast, same); got != "" {
		t.Errorf("says %q of equal ones", got)
	}
	if got := differingProfile(member.Fast, append(same, status("d", member.Cautious, ""))); !strings.Contains(got, `"d"`) {
		t.Errorf("says %q, want it to name the one that differs", got)
	}
}

// Keep the constants of the library's patience and ours apart: a member asks
// whether it still is one only when an election has long been over.
func TestConfig_missedIsLongerThanAnElection(t *testing.T) {
	for _, p := range []member.Profile{member.Fast, member.Cautious} {
		timeout, err := p.Timeout()
		if err != nil || 3*timeout > missed || missed > time.Minute {
			t.Errorf("%s: %v, %v", p, timeout, err)
		}
	}
}
