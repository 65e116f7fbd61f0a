package health_test

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"praefect/consensus/health"
	"praefect/fsm/reachability"
	"praefect/fsm/state"
)

func TestReports(t *testing.T) {
	broken := errors.New("broken")
	well := reachability.Observation{VirtualStorage: "default", Storage: "other", Reachable: true, FilesystemID: "O", Agreed: "O"}
	for _, tc := range []struct {
		name string
		of   reachability.Observation
		want health.Report
	}{
		{name: "well", of: reachability.Observation{Reachable: true, FilesystemID: "A", Agreed: "A"}, want: health.Report{Status: health.Well, FilesystemID: "A"}},
		{name: "first seen", of: reachability.Observation{Reachable: true, FilesystemID: "A"}, want: health.Report{Status: health.Well, FilesystemID: "A"}},
		{name: "late answers", of: reachability.Observation{Reachable: true, FilesystemID: "A", Agreed: "A", Err: broken},
			want: health.Report{Status: health.Slow, FilesystemID: "A", Why: "broken"}},
		{name: "another disk", of: reachability.Observation{Reachable: true, FilesystemID: "B", Agreed: "A"},
			want: health.Report{Status: health.Dead, FilesystemID: "B", Why: "it has another disk"}},
		{name: "refused", of: reachability.Observation{Refused: true, Agreed: "A", Err: broken}, want: health.Report{Status: health.Dead, Why: "broken"}},
		{name: "silent", of: reachability.Observation{Silent: true, Agreed: "A", Err: broken}, want: health.Report{Status: health.Dead, Why: "broken"}},
		{name: "just lost", of: reachability.Observation{Agreed: "A", Err: broken}, want: health.Report{Why: "broken"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.of.VirtualStorage, tc.of.Storage = "default", "gitaly-1"
			tc.want.VirtualStorage, tc.want.Storage = "default", "gitaly-1"
			got := health.Reports([]reachability.Observation{tc.of, well}, health.Doubts{Late: 200, Limit: 200})
			if len(got) != 2 || got[0] != tc.want {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}

func TestReports_doubtsItself(t *testing.T) {
	dead := reachability.Observation{Storage: "gitaly-1", Refused: true}
	well := reachability.Observation{Storage: "gitaly-2", Reachable: true}
	for _, tc := range []struct {
		name string
		all  []reachability.Observation
		late time.Duration
		want int
	}{
		{name: "one of two", all: []reachability.Observation{dead, well}, want: 2},
		{name: "all of two", all: []reachability.Observation{dead, dead}},
		{name: "the only one", all: []reachability.Observation{dead}, want: 1},
		{name: "own timers late", all: []reachability.Observation{dead, well}, late: 201 * time.Millisecond},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := health.Reports(tc.all, health.Doubts{Late: tc.late, Limit: 200 * time.Millisecond}); len(got) != tc.want {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestCountReports(t *testing.T) {
	const now, age = 10 * time.Second, 300 * time.Millisecond
	says := func(o health.Status, disk string, connected state.Index) []health.Report {
		return []health.Report{{VirtualStorage: "default", Storage: "gitaly-1", Status: o, FilesystemID: disk, ConnectedAt: connected}}
	}
	dead, well := says(health.Dead, "", 0), says(health.Well, "A", 7)
	three := []string{"a", "b", "c"}
	for _, tc := range []struct {
		name     string
		voters   []string
		received map[string]health.Received

		dead, agreed, well bool // well since index 5
		disk               string
	}{
		{name: "two of three", voters: three, received: map[string]health.Received{"a": {At: now, Reports: dead}, "b": {At: now, Reports: dead}, "c": {At: now, Reports: well}}, dead: true, disk: "A"},
		{name: "two of three, the third silent", voters: three, received: map[string]health.Received{"a": {At: now, Reports: dead}, "b": {At: now - age, Reports: dead}}, dead: true},
		{name: "one of three", voters: three, received: map[string]health.Received{"a": {At: now, Reports: dead}, "b": {At: now, Reports: well}, "c": {At: now, Reports: well}}, agreed: true, well: true, disk: "A"},
		{name: "one of three, the others silent", voters: three, received: map[string]health.Received{"a": {At: now, Reports: dead}}},
		{name: "an old report", voters: three, received: map[string]health.Received{"a": {At: now, Reports: dead}, "b": {At: now - age - 1, Reports: dead}}},
		{name: "one that counts for longer", voters: three, disk: "A", agreed: true, well: true,
			received: map[string]health.Received{"a": {At: now, Reports: well}, "b": {At: now - 3*age, Reports: well, For: 3 * age}}},
		{name: "an old one that counted for longer", voters: three, disk: "A",
			received: map[string]health.Received{"a": {At: now, Reports: well}, "b": {At: now - 3*age - 1, Reports: well, For: 3 * age}}},
		{name: "one that does not vote", voters: three, received: map[string]health.Received{"a": {At: now, Reports: dead}, "d": {At: now, Reports: dead}}},
		{name: "alone", voters: []string{"a"}, received: map[string]health.Received{"a": {At: now, Reports: dead}}, dead: true},
		{name: "no voters", received: map[string]health.Received{"a": {At: now, Reports: dead}}},
		{name: "one withdrew", voters: three, received: map[string]health.Received{"a": {At: now, Reports: dead}, "b": {At: now}}},
		{name: "over old connections", voters: three, disk: "A", agreed: true,
			received: map[string]health.Received{"a": {At: now, Reports: well}, "b": {At: now, Reports: says(health.Well, "A", 4)}, "c": {At: now, Reports: says(health.Well, "A", 0)}}},
		{name: "slow", voters: three, disk: "A", agreed: true,
			received: map[string]health.Received{"a": {At: now, Reports: says(health.Slow, "A", 7)}, "b": {At: now, Reports: says(health.Slow, "A", 7)}}},
		{name: "different disks", voters: three, received: map[string]health.Received{"a": {At: now, Reports: well}, "b": {At: now, Reports: well}, "c": {At: now, Reports: says(health.Dead, "B", 7)}}, well: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := health.CountReports(now, age, tc.voters, tc.received)[health.Name{VirtualStorage: "default", Storage: "gitaly-1"}]
			if c.Dead != tc.dead || c.Agreed() != tc.agreed || c.WellSince(5) != tc.well || c.Disk() != tc.disk {
				t.Errorf("got dead %v agreed %v well %v disk %q", c.Dead, c.Agreed(), c.WellSince(5), c.Disk())
			}
		})
	}
}

// Never is a storage dead unless a majority of all voters said so lately, and
// never is it dead and well at once.
func TestCountReports_onlyMajoritiesDecide(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		voters := []string{"a", "b", "c", "d", "e"}[:rapid.SampledFrom([]int{1, 3, 5}).Draw(t, "voters")]
		received := make(map[string]health.Received)
		dead := 0
		for _, id := range voters {
			o := rapid.SampledFrom([]health.Status{health.Unknown, health.Well, health.Slow, health.Dead}).Draw(t, "opinion")
			old := rapid.Bool().Draw(t, "old")
			b := health.Received{At: time.Hour, Reports: []health.Report{{Storage: "s", Status: o}}}
			if old {
				b.At -= time.Second
			} else if o == health.Dead {
				dead++
			}
			received[id] = b
		}
		c := health.CountReports(time.Hour, 300*time.Millisecond, voters, received)[health.Name{Storage: "s"}]
		if c.Dead != (2*dead > len(voters)) || c.Dead && c.WellSince(0) {
			t.Errorf("%d of %d said dead: %+v", dead, len(voters), c)
		}
	})
}
