package condition_test

import (
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"praefect/fsm/condition"
	"praefect/fsm/reachability"
	"praefect/fsm/state"
)

// well are the facts of a cluster of three, at its leader, with nothing the matter.
func well() condition.Facts {
	storage := func(name string) condition.Storage {
		return condition.Storage{
			Name: name, State: state.Serving, Observation: reachability.Observation{Reachable: true, Backchannel: true, ServerVersion: "16.7"},
		}
	}
	return condition.Facts{
		Instance: "praefect-1", Leader: "praefect-1", Leased: true, Configured: 3, Defined: true,
		Members: []condition.Member{member("praefect-1", true), member("praefect-2", true), member("praefect-3", true)},
		Running: []condition.Running{{"praefect-1", "1.0"}, {"praefect-2", "1.0"}, {"praefect-3", "1.0"}},
		VirtualStorages: []condition.VirtualStorage{{
			Name: "default", Primary: "gitaly-1", Copies: 2,
			Storages: []condition.Storage{storage("gitaly-1"), storage("gitaly-2"), storage("gitaly-3")},
		}},
		Certificates: []condition.Certificate{{Key: "tls.certificate_path", Path: "/etc/server.crt", Left: 90 * 24 * time.Hour}},
	}
}

// member is one that votes and, if it is heard of, has a lease.
func member(name string, heard bool) condition.Member {
	return condition.Member{Name: name, Voter: true, Heard: heard, Leased: heard}
}

func TestJudge_nothingIsTheMatter(t *testing.T) {
	if got := condition.Judge(well()); len(got) > 0 {
		t.Errorf("got %v", got)
	}
}

func TestJudge_conditions(t *testing.T) {
	soon := 7 * time.Second
	vs := func(f *condition.Facts) *condition.VirtualStorage { return &f.VirtualStorages[0] }
	for _, tc := range []struct {
		name  string
		spoil func(*condition.Facts)
		want  []condition.Name
		worst condition.Health
	}{
		{"no leader", func(f *condition.Facts) { f.Leader, f.Members = "", nil }, []condition.Name{condition.NoLeader}, condition.HealthUnavailable},
		{"no lease", func(f *condition.Facts) { f.Leased = false }, []condition.Name{condition.NoLease}, condition.HealthDegraded},
		{"nothing is defined", func(f *condition.Facts) { f.VirtualStorages = nil }, []condition.Name{condition.NoVirtualStorage}, condition.HealthUnavailable},
		{"nobody has looked at the state", func(f *condition.Facts) { f.VirtualStorages, f.Defined = nil, false }, nil, condition.Healthy},
		{"an instance is away", func(f *condition.Facts) { f.Members[2].Heard = false },
			[]condition.Name{condition.CannotLoseAny, condition.InstanceAway}, condition.HealthDegraded},
		{"one of five is away", func(f *condition.Facts) {
			f.Configured = 5
			f.Members = append(f.Members, member("praefect-4", true), member("praefect-5", false))
		}, []condition.Name{condition.InstanceAway}, condition.HealthDegraded},
		{"two of three vote", func(f *condition.Facts) { f.Members = f.Members[:2] },
			[]condition.Name{condition.CannotLoseAny, condition.FewerVoters}, condition.HealthDegraded},
		{"one of three does not vote", func(f *condition.Facts) { f.Members[2].Voter = false },
			[]condition.Name{condition.CannotLoseAny, condition.FewerVoters}, condition.HealthDegraded},
		{"two of two", func(f *condition.Facts) { f.Members, f.Configured = f.Members[:2], 2 },
			[]condition.Name{condition.CannotLoseAny}, condition.HealthDegraded},
		{"one alone", func(f *condition.Facts) { f.Members, f.Configured = f.Members[:1], 1 },
			[]condition.Name{condition.NoSpare}, condition.Healthy},
		{"one of a section of three that is alone", func(f *condition.Facts) { f.Members = f.Members[:1] },
			[]condition.Name{condition.CannotLoseAny, condition.FewerVoters}, condition.HealthDegraded},
		{"a follower knows no members", func(f *condition.Facts) { f.Members = nil }, nil, condition.Healthy},
		{"an instance has no lease", func(f *condition.Facts) { f.Members[1].Leased = false }, []condition.Name{condition.NoLease}, condition.HealthDegraded},
		{"an instance is not well", func(f *condition.Facts) { f.Members[1].Problem = "the log store hangs" }, []condition.Name{condition.InstanceAway}, condition.HealthDegraded},
		{"versions", func(f *condition.Facts) { f.Running[1].Version = "1.1" }, []condition.Name{condition.VersionsDiffer}, condition.Healthy},
		{"postgres", func(f *condition.Facts) { f.Postgres = "connection refused" }, []condition.Name{condition.PostgresAway}, condition.HealthDegraded},
		{"a certificate in 15 days", func(f *condition.Facts) { f.Certificates[0].Left = 15 * 24 * time.Hour }, nil, condition.Healthy},
		{"a certificate in 14 days", func(f *condition.Facts) { f.Certificates[0].Left = 14 * 24 * time.Hour },
			[]condition.Name{condition.CertificateExpires}, condition.HealthDegraded},
		{"a certificate that has expired", func(f *condition.Facts) { f.Certificates[0].Left = -time.Hour },
			[]condition.Name{condition.CertificateExpires}, condition.HealthDegraded},
		{"a certificate that is not there", func(f *condition.Facts) { f.Certificates[0].Problem = "no such file" },
			[]condition.Name{condition.CertificateExpires}, condition.HealthDegraded},
		{"a secondary is away", func(f *condition.Facts) { vs(f).Storages[2].Reachable = false },
			[]condition.Name{condition.StorageAway}, condition.HealthDegraded},
		{"the primary is away", func(f *condition.Facts) { vs(f).Storages[0].Reachable = false },
			[]condition.Name{condition.NoPrimary, condition.StorageAway}, condition.HealthUnavailable},
		{"there is no primary", func(f *condition.Facts) { vs(f).Primary = "" }, []condition.Name{condition.NoPrimary}, condition.HealthUnavailable},
		{"a storage is slow", func(f *condition.Facts) { vs(f).Storages[1].Err = errors.New("late") }, []condition.Name{condition.StorageSlow}, condition.HealthDegraded},
		{"a storage has no backchannel", func(f *condition.Facts) { vs(f).Storages[1].Backchannel = false }, []condition.Name{condition.NoVotes}, condition.Healthy},
		{"a secondary is upgraded first", func(f *condition.Facts) { vs(f).Storages[2].ServerVersion = "18.9" }, []condition.Name{condition.ReleasesDiffer}, condition.Healthy},
		{"a storage whose release is not known", func(f *condition.Facts) { vs(f).Storages[2].ServerVersion = "" }, nil, condition.Healthy},
		{"the primary alone is not upgraded", func(f *condition.Facts) {
			vs(f).Storages[1].ServerVersion, vs(f).Storages[2].ServerVersion = "18.9", "18.9"
		}, []condition.Name{condition.ReleaseAlone, condition.ReleasesDiffer}, condition.HealthDegraded},
		{"the primary alone is upgraded, and one copy will do", func(f *condition.Facts) {
			vs(f).Storages[0].ServerVersion, vs(f).Copies = "18.9", 1
		}, []condition.Name{condition.ReleasesDiffer}, condition.Healthy},
		{"the only other one of its release is away", func(f *condition.Facts) {
			vs(f).Storages[1].Reachable, vs(f).Storages[2].ServerVersion = false, "18.9"
		}, []condition.Name{condition.ReleaseAlone, condition.StorageAway, condition.ReleasesDiffer}, condition.HealthDegraded},
		{"one of another release does not serve", func(f *condition.Facts) {
			vs(f).Storages[2].State, vs(f).Storages[2].ServerVersion = state.Out, "18.9"
		}, []condition.Name{condition.StorageNotServing}, condition.HealthDegraded},
		{"a storage is out", func(f *condition.Facts) { vs(f).Storages[2].State = state.Out }, []condition.Name{condition.StorageNotServing}, condition.HealthDegraded},
		{"a storage is out and returns soon", func(f *condition.Facts) {
			vs(f).Storages[2].State, vs(f).Storages[2].ReturnsIn = state.Out, &soon
		}, []condition.Name{condition.StorageNotServing, condition.StorageReturns}, condition.HealthDegraded},
		{"one good copy after a drain", func(f *condition.Facts) {
			vs(f).Storages[1].State, vs(f).Storages[2].State = state.Out, state.Out
		}, []condition.Name{condition.OneGoodCopy, condition.StorageNotServing, condition.StorageNotServing}, condition.HealthDegraded},
		{"one storage by its settings", func(f *condition.Facts) { vs(f).Storages = vs(f).Storages[:1] }, nil, condition.Healthy},
		{"a repository is unavailable", func(f *condition.Facts) { vs(f).Unavailable = 1 },
			[]condition.Name{condition.RepositoryAway}, condition.HealthUnavailable},
		{"repositories have too few copies", func(f *condition.Facts) { vs(f).Short, vs(f).ShortExample = 3, "a.git" },
			[]condition.Name{condition.TooFewCopies}, condition.HealthDegraded},
		{"failover is paused", func(f *condition.Facts) { vs(f).Paused = "until resume" }, []condition.Name{condition.FailoverPaused}, condition.Healthy},
		{"raised elsewhere", func(f *condition.Facts) {
			f.Raised = []condition.Raised{{Name: condition.Conflict, VirtualStorage: "default", Text: "two sides"}, {Name: condition.ClaimLost, Text: "claimed by cluster c2"}}
		}, []condition.Name{condition.ClaimLost, condition.Conflict}, condition.HealthUnavailable},
	} {
		t.Run(tc.name, func(t *testing.T) {
			facts := well()
			tc.spoil(&facts)
			got := condition.Judge(facts)
			var names []condition.Name
			for _, c := range got {
				names = append(names, c.Name)
				if c.Text == "" || c.Level != c.Kind().Level {
					t.Errorf("%+v: no text, or another level than its kind", c)
				}
			}
			if !slices.Equal(names, tc.want) {
				t.Errorf("got %v, want %v", names, tc.want)
			}
			if worst := condition.Worst(got); worst != tc.worst {
				t.Errorf("the worst is %v, want %v", worst, tc.worst)
			}
		})
	}
}

// TestJudge_everyKindIsReached: a kind that no facts lead to would be a promise that nothing keeps.
func TestJudge_everyKindIsReached(t *testing.T) {
	facts := well()
	seconds := time.Second
	facts.Leader, facts.Postgres, facts.Running[0].Version, facts.Configured = "", "away", "2", 4
	facts.Members[1].Heard = false
	facts.Certificates[0].Left = 0
	facts.VirtualStorages[0] = condition.VirtualStorage{
		Name: "default", Copies: 2, Unavailable: 1, Short: 1, Paused: "until resume", Storages: []condition.Storage{
			{Name: "a", State: state.Serving}, {Name: "b", State: state.Out, Observation: reachability.Observation{Reachable: true, Err: errors.New("late")}, ReturnsIn: &seconds},
		},
	}
	reached := make(map[condition.Name]bool)
	note := func(f condition.Facts) {
		for _, c := range condition.Judge(f) {
			reached[c.Name] = true
		}
	}
	note(func() condition.Facts {
		f := well()
		f.VirtualStorages[0].Storages[0].ServerVersion = "18.9"
		return f
	}())
	note(facts)
	note(condition.Facts{Leader: "l", Defined: true, Configured: 1, Members: []condition.Member{member("l", true)}})
	for _, name := range raised {
		note(condition.Facts{Raised: []condition.Raised{{Name: name, Text: "text"}}})
	}
	for _, k := range condition.Kinds() {
		if !reached[k.Name] {
			t.Errorf("no facts lead to %s", k.Name)
		}
	}
}

// raised are the conditions that Judge takes as they come.
var raised = []condition.Name{
	condition.OtherCluster, condition.ClaimLost, condition.SettingsDiffer, condition.CommandRefused, condition.DeadNotReplaced,
	condition.DisksDiffer, condition.Conflict, condition.RepairWaits, condition.CopiesFail, condition.NotCompared, condition.PrimaryUnwritable, condition.PrimaryElsewhere,
	condition.ReplicaDiffers, condition.ReplicaDamaged, condition.ReplicaDiffered,
}

func TestMerge_isSortedAndHasNoDuplicates(t *testing.T) {
	name := rapid.SampledFrom([]condition.Name{condition.NoLeader, condition.StorageAway, condition.NoVotes})
	one := rapid.Custom(func(t *rapid.T) condition.Condition {
		n := name.Draw(t, "name")
		return condition.Condition{Name: n, Level: condition.KindOf(n).Level, Storage: rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "storage"), Text: rapid.String().Draw(t, "text")}
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.SliceOf(one).Draw(t, "a"), rapid.SliceOf(one).Draw(t, "b")
		merged := condition.Merge(a, b)
		if !slices.IsSortedFunc(merged, condition.Compare) {
			t.Fatalf("not sorted: %v", merged)
		}
		ids := make(map[condition.ID]bool)
		for _, c := range merged {
			if ids[c.ID()] {
				t.Fatalf("%v is there twice", c.ID())
			}
			ids[c.ID()] = true
		}
		for _, c := range slices.Concat(a, b) {
			if !ids[c.ID()] {
				t.Fatalf("%v is missing", c.ID())
			}
		}
		if again := condition.Merge(merged); !reflect.DeepEqual(again, merged) {
			t.Fatalf("merged again it is %v", again)
		}
	})
}
