package verdict_test

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"praefect/consensus/verdict"
	"praefect/fsm/state"
)

func TestOpine(t *testing.T) {
	broken := errors.New("broken")
	well := verdict.Evidence{VirtualStorage: "default", Storage: "other", Reachable: true, FilesystemID: "O", Agreed: "O"}
	for _, tc := range []struct {
		name string
		of   verdict.Evidence
		want verdict.Report
	}{
		{name: "well", of: verdict.Evidence{Reachable: true, FilesystemID: "A", Agreed: "A"}, want: verdict.Report{Opinion: verdict.Well, FilesystemID: "A"}},
		{name: "first seen", of: verdict.Evidence{Reachable: true, FilesystemID: "A"}, want: verdict.Report{Opinion: verdict.Well, FilesystemID: "A"}},
		{name: "late answers", of: verdict.Evidence{Reachable: true, Slow: true, FilesystemID: "A", Agreed: "A", Err: broken},
			want: verdict.Report{Opinion: verdict.Slow, FilesystemID: "A", Why: "broken"}},
		{name: "another disk", of: verdict.Evidence{Reachable: true, FilesystemID: "B", Agreed: "A"},
			want: verdict.Report{Opinion: verdict.Dead, FilesystemID: "B", Why: "it has another disk"}},
		{name: "refused", of: verdict.Evidence{Refused: true, Agreed: "A", Err: broken}, want: verdict.Report{Opinion: verdict.Dead, Why: "broken"}},
		{name: "silent", of: verdict.Evidence{Silent: true, Agreed: "A", Err: broken}, want: verdict.Report{Opinion: verdict.Dead, Why: "broken"}},
		{name: "just lost", of: verdict.Evidence{Agreed: "A", Err: broken}, want: verdict.Report{Why: "broken"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.of.VirtualStorage, tc.of.Storage = "default", "gitaly-1"
			tc.want.VirtualStorage, tc.want.Storage = "default", "gitaly-1"
			got := verdict.Opine([]verdict.Evidence{tc.of, well}, verdict.Doubt{Late: 200, Limit: 200})
			if len(got) != 2 || got[0] != tc.want {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}

func TestOpine_doubtsItself(t *testing.T) {
	dead := verdict.Evidence{Storage: "gitaly-1", Refused: true}
	well := verdict.Evidence{Storage: "gitaly-2", Reachable: true}
	for _, tc := range []struct {
		name string
		all  []verdict.Evidence
		late time.Duration
		want int
	}{
		{name: "one of two", all: []verdict.Evidence{dead, well}, want: 2},
		{name: "all of two", all: []verdict.Evidence{dead, dead}},
		{name: "the only one", all: []verdict.Evidence{dead}, want: 1},
		{name: "own timers late", all: []verdict.Evidence{dead, well}, late: 201 * time.Millisecond},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := verdict.Opine(tc.all, verdict.Doubt{Late: tc.late, Limit: 200 * time.Millisecond}); len(got) != tc.want {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestTally(t *testing.T) {
	const now, age = 10 * time.Second, 300 * time.Millisecond
	says := func(o verdict.Opinion, disk string, connected state.Index) []verdict.Report {
		return []verdict.Report{{VirtualStorage: "default", Storage: "gitaly-1", Opinion: o, FilesystemID: disk, ConnectedAt: connected}}
	}
	dead, well := says(verdict.Dead, "", 0), says(verdict.Well, "A", 7)
	three := []string{"a", "b", "c"}
	for _, tc := range []struct {
		name    string
		voters  []string
		ballots map[string]verdict.Ballot

		dead, agreed, well bool // well since index 5
		disk               string
	}{
		{name: "two of three", voters: three, ballots: map[string]verdict.Ballot{"a": {now, dead}, "b": {now, dead}, "c": {now, well}}, dead: true, disk: "A"},
		{name: "two of three, the third silent", voters: three, ballots: map[string]verdict.Ballot{"a": {now, dead}, "b": {now - age, dead}}, dead: true},
		{name: "one of three", voters: three, ballots: map[string]verdict.Ballot{"a": {now, dead}, "b": {now, well}, "c": {now, well}}, agreed: true, well: true, disk: "A"},
		{name: "one of three, the others silent", voters: three, ballots: map[string]verdict.Ballot{"a": {now, dead}}},
		{name: "an old report", voters: three, ballots: map[string]verdict.Ballot{"a": {now, dead}, "b": {now - age - 1, dead}}},
		{name: "one that does not vote", voters: three, ballots: map[string]verdict.Ballot{"a": {now, dead}, "d": {now, dead}}},
		{name: "alone", voters: []string{"a"}, ballots: map[string]verdict.Ballot{"a": {now, dead}}, dead: true},
		{name: "no voters", ballots: map[string]verdict.Ballot{"a": {now, dead}}},
		{name: "one withdrew", voters: three, ballots: map[string]verdict.Ballot{"a": {now, dead}, "b": {At: now}}},
		{name: "over old connections", voters: three, disk: "A", agreed: true,
			ballots: map[string]verdict.Ballot{"a": {now, well}, "b": {now, says(verdict.Well, "A", 4)}, "c": {now, says(verdict.Well, "A", 0)}}},
		{name: "slow", voters: three, disk: "A", agreed: true,
			ballots: map[string]verdict.Ballot{"a": {now, says(verdict.Slow, "A", 7)}, "b": {now, says(verdict.Slow, "A", 7)}}},
		{name: "different disks", voters: three, ballots: map[string]verdict.Ballot{"a": {now, well}, "b": {now, well}, "c": {now, says(verdict.Dead, "B", 7)}}, well: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := verdict.Tally(now, age, tc.voters, tc.ballots)[verdict.Name{VirtualStorage: "default", Storage: "gitaly-1"}]
			if c.Dead != tc.dead || c.Agreed() != tc.agreed || c.WellSince(5) != tc.well || c.Disk() != tc.disk {
				t.Errorf("got dead %v agreed %v well %v disk %q", c.Dead, c.Agreed(), c.WellSince(5), c.Disk())
			}
		})
	}
}

// Never is a storage dead unless a majority of all voters said so lately, and
// never is it dead and well at once.
func TestTally_onlyMajoritiesDecide(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		voters := []string{"a", "b", "c", "d", "e"}[:rapid.SampledFrom([]int{1, 3, 5}).Draw(t, "voters")]
		ballots := make(map[string]verdict.Ballot)
		dead := 0
		for _, id := range voters {
			o := rapid.SampledFrom([]verdict.Opinion{verdict.Unknown, verdict.Well, verdict.Slow, verdict.Dead}).Draw(t, "opinion")
			old := rapid.Bool().Draw(t, "old")
			b := verdict.Ballot{At: time.Hour, Reports: []verdict.Report{{Storage: "s", Opinion: o}}}
			if old {
				b.At -= time.Second
			} else if o == verdict.Dead {
				dead++
			}
			ballots[id] = b
		}
		c := verdict.Tally(time.Hour, 300*time.Millisecond, voters, ballots)[verdict.Name{Storage: "s"}]
		if c.Dead != (2*dead > len(voters)) || c.Dead && c.WellSince(0) {
			t.Errorf("%d of %d said dead: %+v", dead, len(voters), c)
		}
	})
}
