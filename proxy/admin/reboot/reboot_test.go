package reboot

import (
	"fmt"
	"strings"
	"testing"

	"praefect/fsm/state"
	"praefect/proxy/admin"
)

// text is an answer in one line.
func text(a Answer) string {
	return fmt.Sprintf("%v | %s | %s | %s | %s", a.Allowed, strings.Join(a.Why, "; "), strings.Join(a.Short, "; "), strings.Join(a.Before, "; "), strings.Join(a.After, "; "))
}

func TestOfStorage(t *testing.T) {
	serving := func(others int) admin.ImpactResponse {
		i := admin.ImpactResponse{VirtualStorage: "default", Storage: "g2", State: state.Serving, Copies: 2}
		for n := range others {
			i.Serving = append(i.Serving, fmt.Sprint("o", n))
		}
		return i
	}
	with := func(i admin.ImpactResponse, change func(*admin.ImpactResponse)) admin.ImpactResponse {
		change(&i)
		return i
	}
	const commands = " | praefectctl drain g2 -virtual-storage default -y -why reboot | praefectctl undrain g2 -virtual-storage default -y"
	const fine = "true | every repository stays readable, and new writes have as many copies as consistency.copies wants | "
	for _, row := range []struct {
		name    string
		led     bool
		impacts []admin.ImpactResponse
		want    string
	}{
		{"with storages to spare", true, []admin.ImpactResponse{serving(3)}, fine + commands},
		{"with none to spare", true, []admin.ImpactResponse{serving(2)},
			fine + "default has no storage to spare meanwhile: if another one fails, new writes have fewer than 2 copies" + commands},
		{"fewer than copies", true, []admin.ImpactResponse{serving(1)}, "false | 1 of the other storages of default would serve (o0), fewer than consistency.copies (2) |  |  | "},
		{"the only one", true, []admin.ImpactResponse{serving(0)}, "false | g2 of default is the only storage that serves and can be reached |  |  | "},
		{"the only replica of something", true, []admin.ImpactResponse{with(serving(3), func(i *admin.ImpactResponse) { i.Unavailable, i.Repositories = 2, []string{"a.git"} })},
			"false | repositories that could not be read without g2 of default: 2: a.git, … |  |  | "},
		{"repairs are under way", true, []admin.ImpactResponse{with(serving(3), func(i *admin.ImpactResponse) { i.Short = 4 })},
			fine + "repositories of default on fewer storages than others, until they are repaired: 4" + commands},
		{"no leader", false, []admin.ImpactResponse{serving(3)}, "false | the cluster has no leader: g2 can neither be drained nor replaced |  |  | "},
		{"drained", true, []admin.ImpactResponse{with(serving(1), func(i *admin.ImpactResponse) { i.State, i.Why = state.Out, state.WhyDrained })},
			"true | g2 serves nothing now: no request goes to it |  |  | "},
		{"dead", true, []admin.ImpactResponse{with(serving(1), func(i *admin.ImpactResponse) { i.State, i.Why = state.Out, state.WhyDead })},
			"true | g2 serves nothing now: no request goes to it | g2 of default is out (dead): it returns by itself when the machine is back |  | "},
		{"backfilling", true, []admin.ImpactResponse{with(serving(1), func(i *admin.ImpactResponse) { i.State = state.Backfilling })},
			"true | g2 serves nothing now: no request goes to it | g2 of default is being backfilled: that goes on when the machine is back |  | "},
		{"fenced", true, []admin.ImpactResponse{with(serving(3), func(i *admin.ImpactResponse) { i.State, i.Why = state.Fenced, state.WhySwitchover })},
			"false | a change of g2 of default is under way (switchover): ask again in a moment |  |  | "},
		{"in two virtual storages, one of which refuses", true, []admin.ImpactResponse{serving(3), with(serving(0), func(i *admin.ImpactResponse) { i.VirtualStorage = "other" })},
			"false | g2 of other is the only storage that serves and can be reached |  |  | "},
	} {
		if got := text(OfStorage("g2", row.led, row.impacts)); got != row.want {
			t.Errorf("%s:\ngot  %s\nwant %s", row.name, got, row.want)
		}
	}
}

func TestOfInstance(t *testing.T) {
	cluster := func(states ...admin.InstanceState) admin.RaftStatusResponse {
		r := admin.RaftStatusResponse{}
		for n, s := range states {
			i := admin.Instance{Name: fmt.Sprint("p", n+1), State: s, Voter: s != admin.NotMember && s != admin.Joining}
			if s == admin.Leader {
				r.Leader = i.Name
			}
			if s == admin.Leader || s == admin.Follower {
				i.LeaseMillis = 800
			}
			r.Instances = append(r.Instances, i)
		}
		return r
	}
	const after = " | praefectctl raft status"
	tight := "while %s is away no other instance may fail: 2 voters are left, and a quorum takes 2"
	for _, row := range []struct {
		name, instance string
		raft           admin.RaftStatusResponse
		want           string
	}{
		{"a follower of three", "p2", cluster(admin.Leader, admin.Follower, admin.Follower),
			"true | 2 other voters answer, and a quorum takes 2 | " + fmt.Sprintf(tight, "p2") + " | systemctl stop praefect" + after},
		{"the leader of three", "p1", cluster(admin.Leader, admin.Follower, admin.Follower),
			"true | 2 other voters answer, and a quorum takes 2 | " + fmt.Sprintf(tight, "p1") + " | praefectctl raft transfer -y -why reboot; systemctl stop praefect" + after},
		{"a follower of five", "p2", cluster(admin.Leader, admin.Follower, admin.Follower, admin.Follower, admin.Follower),
			"true | 4 other voters answer, and a quorum takes 3 |  | systemctl stop praefect" + after},
		{"one of two that are left", "p2", cluster(admin.Leader, admin.Follower, admin.Unreachable),
			"false | without p2 there is no quorum: 1 of 3 voters would be left, and a quorum takes 2; these do not answer: p3 |  |  | "},
		{"the one that is down", "p3", cluster(admin.Leader, admin.Follower, admin.Unreachable), "true | p3 does not answer now: nothing rests on it |  |  | "},
		{"the only one", "p1", cluster(admin.Leader),
			"false | without p1 there is no quorum: no other instance votes; no other instance has a lease: clients would find no instance that serves writes |  |  | "},
		{"one that joins", "p4", cluster(admin.Leader, admin.Follower, admin.Follower, admin.Joining),
			"true | 3 other voters answer, and a quorum takes 2 |  | systemctl stop praefect" + after},
		{"no member", "p4", cluster(admin.Leader, admin.Follower, admin.Follower, admin.NotMember), "true | p4 is no member of the cluster |  |  | "},
		{"unknown", "p9", cluster(admin.Leader, admin.Follower, admin.Follower), "true | p9 is no member of the cluster |  |  | "},
		{"no leader", "p1", cluster(admin.Follower, admin.Candidate, admin.Follower), "false | the cluster has no leader: no instance may go away before there is one |  |  | "},
	} {
		if got := text(OfInstance(row.instance, row.raft)); got != row.want {
			t.Errorf("%s:\ngot  %s\nwant %s", row.name, got, row.want)
		}
	}
}
