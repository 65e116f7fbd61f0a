package plan

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"praefect/fsm/state"
)

// three returns a virtual storage of three serving storages, changed by edit.
func three(edit func(*state.VirtualStorage)) *state.VirtualStorage {
	vs := &state.VirtualStorage{Name: "default", Epoch: 1, Succession: []state.Storage{
		{Name: "g1", Standing: state.Serving}, {Name: "g2", Standing: state.Serving}, {Name: "g3", Standing: state.Serving},
	}}
	if edit != nil {
		edit(vs)
	}
	return vs
}

func standing(storage string, to state.Standing) func(*state.VirtualStorage) {
	return func(vs *state.VirtualStorage) { vs.Storage(storage).Standing = to }
}

// dirty is a dirty mark whose bound has passed when it is not positive.
func dirty(inc state.Incarnation, left time.Duration, targets ...string) state.Mark {
	return state.Mark{Incarnation: inc, Dirty: &state.Dirty{
		At: state.Index(inc), Scope: state.Scope{BoundMillis: left.Milliseconds(), Targets: targets},
	}}
}

func refsOnly(m state.Mark) state.Mark {
	m.Dirty.RefsOnly = true
	return m
}

// bound takes the whole bound of a dirty mark as what is left of it.
func bound(d *state.Dirty) time.Duration { return time.Duration(d.BoundMillis) * time.Millisecond }

func TestPlan_next(t *testing.T) {
	const self = 9
	own := state.Mark{Incarnation: self, Kind: state.Solo}
	foreign := state.Mark{Incarnation: 8, Kind: state.Solo}
	for _, row := range []struct {
		name    string
		vs      *state.VirtualStorage
		entry   *state.Entry
		filling bool
		away    []string
		want    Plan
	}{
		{name: "virtual storage gone", want: Plan{Why: "its virtual storage is not defined"}},
		{name: "ordinary", vs: three(nil), want: Plan{Why: "nothing is wrong", Well: true}},
		{
			name: "only our own lingering mark", vs: three(nil), entry: &state.Entry{Marks: []state.Mark{own}},
			want: Plan{Why: "nothing is wrong", Well: true},
		},
		{
			name: "two behind", vs: three(nil), entry: &state.Entry{Behind: []string{"g2", "g3"}},
			want: Plan{Action: Copy, Primary: "g1", Targets: []string{"g2", "g3"}},
		},
		{
			name: "behind, under our own mark", vs: three(nil), entry: &state.Entry{Behind: []string{"g2"}, Marks: []state.Mark{own}},
			want: Plan{Action: Copy, Primary: "g1", Targets: []string{"g2"}, Witnesses: []string{"g3"}},
		},
		{
			name: "behind, under another's mark", vs: three(nil), entry: &state.Entry{Behind: []string{"g2"}, Marks: []state.Mark{foreign}},
			want: Plan{Action: Wait, Why: "another instance has marked it"},
		},
		{
			name: "the first of the succession is behind", vs: three(nil), entry: &state.Entry{Behind: []string{"g1"}},
			want: Plan{Action: Copy, Primary: "g2", Targets: []string{"g1"}, Witnesses: []string{"g3"}},
		},
		{
			name: "one of two targets away", vs: three(nil), entry: &state.Entry{Behind: []string{"g2", "g3"}}, away: []string{"g2"},
			want: Plan{Action: Copy, Primary: "g1", Targets: []string{"g3"}},
		},
		{
			name: "the only target away", vs: three(nil), entry: &state.Entry{Behind: []string{"g2"}}, away: []string{"g2"},
			want: Plan{Why: "what is behind cannot be reached"},
		},
		{
			name: "primary away", vs: three(nil), entry: &state.Entry{Behind: []string{"g2"}}, away: []string{"g1"},
			want: Plan{Why: "its primary cannot be reached"},
		},
		{
			name: "unavailable", vs: three(nil), entry: &state.Entry{Behind: []string{"g1", "g2", "g3"}},
			want: Plan{Why: "it has no primary"},
		},
		{
			name: "first in-sync storage fenced", vs: three(standing("g1", state.Fenced)), entry: &state.Entry{Behind: []string{"g2"}},
			want: Plan{Why: "it has no primary"},
		},
		{
			name: "out and behind", vs: three(standing("g3", state.Out)), entry: &state.Entry{Behind: []string{"g3"}},
			want: Plan{Why: "nothing is wrong", Well: true},
		},
		{
			name: "fenced and behind", vs: three(standing("g3", state.Fenced)), entry: &state.Entry{Behind: []string{"g3"}},
			want: Plan{Why: "nothing is wrong", Well: true},
		},
		{
			name: "filling and behind", vs: three(standing("g3", state.Filling)), entry: &state.Entry{Behind: []string{"g3"}},
			want: Plan{Action: Copy, Primary: "g1", Targets: []string{"g3"}, Witnesses: []string{"g2"}},
		},
		{
			name: "filling, not asked for", vs: three(standing("g3", state.Filling)),
			want: Plan{Why: "nothing is wrong", Well: true},
		},
		{
			name: "filling, asked for", vs: three(standing("g3", state.Filling)), filling: true,
			want: Plan{Action: Copy, Primary: "g1", Targets: []string{"g3"}, Witnesses: []string{"g2"}},
		},
		{
			name: "dirty and due", vs: three(nil), entry: &state.Entry{Marks: []state.Mark{dirty(3, 0, "g1")}},
			want: Plan{Action: Settle, Primary: "g1", Marks: []state.DirtyRef{{Incarnation: 3, At: 3}}, Witnesses: []string{"g2", "g3"}},
		},
		{
			name: "all dirty marks change refs only", vs: three(nil),
			entry: &state.Entry{Marks: []state.Mark{refsOnly(dirty(3, 0)), refsOnly(dirty(4, 0))}},
			want: Plan{
				Action: Settle, Primary: "g1", RefsOnly: true, Witnesses: []string{"g2", "g3"},
				Marks: []state.DirtyRef{{Incarnation: 3, At: 3}, {Incarnation: 4, At: 4}},
			},
		},
		{
			name: "one dirty mark does not", vs: three(nil),
			entry: &state.Entry{Marks: []state.Mark{refsOnly(dirty(3, 0)), dirty(4, 0)}},
			want: Plan{
				Action: Settle, Primary: "g1", Witnesses: []string{"g2", "g3"},
				Marks: []state.DirtyRef{{Incarnation: 3, At: 3}, {Incarnation: 4, At: 4}},
			},
		},
		{
			name: "one dirty mark is due", vs: three(nil),
			entry: &state.Entry{Marks: []state.Mark{dirty(3, time.Minute), refsOnly(dirty(4, 0))}},
			want:  Plan{Action: Settle, Primary: "g1", RefsOnly: true, Marks: []state.DirtyRef{{Incarnation: 4, At: 4}}, Witnesses: []string{"g2", "g3"}},
		},
		{
			name: "dirty before its bound", vs: three(nil),
			entry: &state.Entry{Marks: []state.Mark{dirty(3, time.Minute, "g1"), dirty(4, time.Second, "g1")}},
			want:  Plan{Action: Wait, Why: "a write that ended unseen may still have an effect", Wait: time.Second},
		},
		{
			name: "behind and target of a dirty mark", vs: three(nil),
			entry: &state.Entry{Behind: []string{"g2"}, Marks: []state.Mark{dirty(3, time.Minute, "g2")}},
			want:  Plan{Action: Wait, Why: "a write that ended unseen may still have an effect", Wait: time.Minute},
		},
		{
			name: "behind beside a dirty mark of the primary", vs: three(nil),
			entry: &state.Entry{Behind: []string{"g2"}, Marks: []state.Mark{dirty(3, time.Minute, "g1")}},
			want:  Plan{Action: Copy, Primary: "g1", Targets: []string{"g2"}, Witnesses: []string{"g3"}},
		},
		{
			name: "dirty and unavailable", vs: three(nil),
			entry: &state.Entry{Behind: []string{"g1", "g2", "g3"}, Marks: []state.Mark{dirty(3, 0)}},
			want:  Plan{Why: "it has no primary"},
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := Make(Situation{
				VS: row.vs, Entry: row.entry, Self: self, Filling: row.filling, Left: bound,
				Reachable: func(s string) bool { return !slices.Contains(row.away, s) },
			})
			if diff := cmp.Diff(row.want, got); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}

// drawSituation draws a Situation; away holds the storages that it cannot reach.
func drawSituation(t *rapid.T) (s Situation, away []string) {
	names := []string{"g1", "g2", "g3", "g4"}
	vs := &state.VirtualStorage{Name: "default"}
	for _, name := range rapid.Permutation(names).Draw(t, "succession") {
		vs.Succession = append(vs.Succession, state.Storage{
			Name: name, Standing: rapid.SampledFrom([]state.Standing{state.Serving, state.Serving, state.Fenced, state.Out, state.Filling}).Draw(t, "standing"),
		})
	}
	subset := func(label string) []string {
		set := rapid.SliceOfDistinct(rapid.SampledFrom(names), rapid.ID).Draw(t, label)
		slices.Sort(set)
		return set
	}
	entry := &state.Entry{Behind: subset("behind")}
	for inc := range rapid.IntRange(0, 3).Draw(t, "marks") {
		mark := state.Mark{Incarnation: state.Incarnation(inc + 1)}
		if rapid.Bool().Draw(t, "dirty") {
			mark.Dirty = &state.Dirty{At: state.Index(inc + 1), Scope: state.Scope{
				BoundMillis: rapid.Int64Range(0, 2).Draw(t, "bound"), Targets: subset("targets"), RefsOnly: rapid.Bool().Draw(t, "refs only"),
			}}
		} else {
			mark.Kind = rapid.SampledFrom([]state.MarkKind{state.Open, state.Solo}).Draw(t, "kind")
		}
		entry.Marks = append(entry.Marks, mark)
	}
	away = subset("away")
	return Situation{
		VS: vs, Entry: entry, Self: 1, Filling: rapid.Bool().Draw(t, "filling"), Left: bound,
		Reachable: func(s string) bool { return !slices.Contains(away, s) },
	}, away
}

func TestPlan_keepsItsRules(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, away := drawSituation(t)
		p := Make(s)
		if p.Action == Rest || p.Action == Wait {
			if p.Why == "" {
				t.Fatalf("nothing says why: %+v", p)
			}
			return
		}
		primary, ok := s.VS.Primary(s.Entry)
		if !ok || p.Primary != primary.Name || slices.Contains(away, p.Primary) {
			t.Fatalf("acts from %q; the primary is %q", p.Primary, primary.Name)
		}
		for _, mark := range s.Entry.Marks {
			if mark.Kind != "" && mark.Incarnation != s.Self {
				t.Fatalf("acts beside the live mark of %d", mark.Incarnation)
			}
			if mark.Dirty == nil {
				continue
			}
			ref := state.DirtyRef{Incarnation: mark.Incarnation, At: mark.Dirty.At}
			late := mark.Dirty.BoundMillis > 0
			if slices.Contains(p.Marks, ref) && late {
				t.Fatalf("settles a mark that may still have an effect")
			}
			if p.Action == Settle && !late && !slices.Contains(p.Marks, ref) {
				t.Fatalf("does not settle a mark that is due")
			}
			if p.RefsOnly && slices.Contains(p.Marks, ref) && !mark.Dirty.RefsOnly {
				t.Fatalf("compares refs where more may have changed")
			}
			for _, target := range p.Targets {
				if late && slices.Contains(mark.Dirty.Targets, target) {
					t.Fatalf("copies onto %q, which a late effect may change", target)
				}
			}
		}
		for _, target := range p.Targets {
			for st := range s.VS.InSync(s.Entry) {
				if st.Name == target {
					t.Fatalf("copies onto %q, which is in sync", target)
				}
			}
			if slices.Contains(away, target) {
				t.Fatalf("copies onto %q, which is away", target)
			}
		}
		for _, witness := range p.Witnesses {
			if st := s.VS.Storage(witness); st.Standing != state.Serving || s.Entry.IsBehind(witness) || witness == p.Primary {
				t.Fatalf("%q is no witness", witness)
			}
		}
	})
}
