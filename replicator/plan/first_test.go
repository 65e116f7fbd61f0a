package plan

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"praefect/fsm/state"
)

func TestMeet_rules(t *testing.T) {
	for _, row := range []struct {
		name string
		n    Newcomer
		want First
	}{
		{"it has none", Newcomer{PrimaryHas: true}, FirstKnown},
		{"equal", Newcomer{Has: true, PrimaryHas: true, Contained: true, Contains: true, Founding: true, Clean: true}, FirstKnown},
		{"behind", Newcomer{Has: true, PrimaryHas: true, Contained: true, Founding: true, Clean: true}, FirstKnown},
		{"behind, of later", Newcomer{Has: true, PrimaryHas: true, Contained: true}, FirstKnown},
		{"ahead", Newcomer{Has: true, PrimaryHas: true, Contains: true, Founding: true, Clean: true}, FirstAdvance},
		{"ahead by a name", Newcomer{Has: true, PrimaryHas: true, Contained: true, Contains: true, Ahead: true, Founding: true, Clean: true}, FirstAdvance},
		{"ahead by a name, of later", Newcomer{Has: true, PrimaryHas: true, Contained: true, Contains: true, Ahead: true}, FirstKnown},
		{"ahead, of later", Newcomer{Has: true, PrimaryHas: true, Contains: true, Clean: true}, FirstConflict},
		{"ahead, and written", Newcomer{Has: true, PrimaryHas: true, Contains: true, Founding: true}, FirstConflict},
		{"apart", Newcomer{Has: true, PrimaryHas: true, Founding: true, Clean: true}, FirstConflict},
		{"only there", Newcomer{Has: true, Contains: true, Founding: true, Clean: true}, FirstAdvance},
		{"only there, of later", Newcomer{Has: true, Contains: true}, FirstConflict},
		{"only there, and deleted here", Newcomer{Has: true, Contains: true, Founding: true}, FirstConflict},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := Meet(row.n); got != row.want {
				t.Errorf("got %v, want %v", got, row.want)
			}
		})
	}
}

// TestMeet_losesNothing: whatever is found, a replica that may be overwritten is
// contained in the primary's, and one that is copied onto it contains that.
func TestMeet_losesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		flag := func(name string) bool { return rapid.Bool().Draw(t, name) }
		n := Newcomer{Founding: flag("founding"), Clean: flag("clean"), Has: flag("has"), PrimaryHas: flag("primary has"),
			Contained: flag("contained"), Contains: flag("contains"), Ahead: flag("ahead")}
		switch Meet(n) {
		case FirstKnown:
			if n.Has && (!n.Contained || !n.PrimaryHas) {
				t.Errorf("%+v may be overwritten", n)
			}
		case FirstAdvance:
			if !n.Contains || !n.Clean || !n.Founding {
				t.Errorf("%+v is copied onto the primary", n)
			}
		}
	})
}

func TestUnlike(t *testing.T) {
	source := Replica{Has: true, References: "1", Head: "refs/heads/main", Pool: "@pools/a.git"}
	for _, row := range []struct {
		change func(*Replica)
		want   string
	}{
		{func(*Replica) {}, ""},
		{func(r *Replica) { *r = Replica{} }, "one has the repository, and the other does not (source: true)"},
		{func(r *Replica) { r.References = "2" }, "references"},
		{func(r *Replica) { r.Head = "refs/heads/master" }, `HEAD names "refs/heads/master", not "refs/heads/main"`},
		{func(r *Replica) { r.Pool = "" }, `it borrows from the object pool "", not "@pools/a.git"`},
	} {
		replica := source
		row.change(&replica)
		if got := Unlike(source, replica); got != row.want {
			t.Errorf("%+v: got %q, want %q", replica, got, row.want)
		}
	}
}

// TestPlan_keeps: what a storage came with, or has in conflict, is no target.
func TestPlan_keeps(t *testing.T) {
	reachable := func(string) bool { return true }
	uncompared := three(func(vs *state.VirtualStorage) {
		vs.Storage("g2").State, vs.Storage("g2").Uncompared = state.Backfilling, state.UncomparedLater
	})
	behind := &state.Entry{Behind: []string{"g2", "g3"}}
	if got := Make(Situation{VS: uncompared, Entry: behind, Backfilling: true, Reachable: reachable, Left: bound}).Targets; len(got) != 1 || got[0] != "g3" {
		t.Errorf("targets %q, want g3", got)
	}
	behind.Conflicts = []state.Conflict{{Storage: "g3"}}
	got := Make(Situation{VS: three(nil), Entry: behind, Reachable: reachable, Left: bound})
	if len(got.Targets) != 1 || got.Targets[0] != "g2" {
		t.Errorf("targets %q, want g2", got.Targets)
	}
	behind.Behind = []string{"g3"}
	if got := Make(Situation{VS: three(nil), Entry: behind, Reachable: reachable, Left: bound}); got.Action != Idle || got.Well {
		t.Errorf("got %+v, want Idle that is not well", got)
	}
}

// TestPlan_endsAdvances: one that was interrupted, once no effect of it can come.
func TestPlan_endsAdvances(t *testing.T) {
	for _, row := range []struct {
		name   string
		intent []state.Intent
		want   Action
	}{
		{"without an intent", nil, EndAdvance},
		{"under way", []state.Intent{{Incarnation: 9, Kind: state.PrimaryOnly}}, Wait},
		{"of another", []state.Intent{{Incarnation: 8, Kind: state.PrimaryOnly}}, Wait},
		{"early", []state.Intent{inDoubt(8, time.Second, "g1")}, Wait},
		{"due", []state.Intent{inDoubt(8, 0, "g1")}, EndAdvance},
	} {
		p := Make(Situation{VS: three(nil), Self: 9, Entry: &state.Entry{Advancing: "g4", Intents: row.intent},
			Reachable: func(string) bool { return true }, Left: bound})
		if p.Action != row.want || p.Action == EndAdvance && (p.Primary != "g1" || len(p.Doubts) != len(row.intent)) {
			t.Errorf("%s: got %+v, want %v", row.name, p, row.want)
		}
	}
}
