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
		{Name: "g1", State: state.Serving}, {Name: "g2", State: state.Serving}, {Name: "g3", State: state.Serving},
	}}
	if edit != nil {
		edit(vs)
	}
	return vs
}

func storageState(storage string, to state.StorageState) func(*state.VirtualStorage) {
	return func(vs *state.VirtualStorage) { vs.Storage(storage).State = to }
}

// inDoubt is an in-doubt intent whose bound has passed when it is not positive.
func inDoubt(inc state.Incarnation, left time.Duration, targets ...string) state.Intent {
	return state.Intent{Incarnation: inc, InDoubt: &state.Doubt{
		At: state.Index(inc), Scope: state.Scope{BoundMillis: left.Milliseconds(), Targets: targets},
	}}
}

func refsOnly(m state.Intent) state.Intent {
	m.InDoubt.RefsOnly = true
	return m
}

// bound takes the whole bound of an in-doubt intent as what is left of it.
func bound(d *state.Doubt) time.Duration { return time.Duration(d.BoundMillis) * time.Millisecond }

func TestPlan_next(t *testing.T) {
	const self = 9
	own := state.Intent{Incarnation: self, Kind: state.PrimaryOnly}
	others := state.Intent{Incarnation: 8, Kind: state.PrimaryOnly}
	for _, row := range []struct {
		name        string
		vs          *state.VirtualStorage
		entry       *state.Entry
		backfilling bool
		away        []string
		want        Plan
	}{
		{name: "virtual storage gone", want: Plan{Why: "its virtual storage is not defined"}},
		{name: "clean", vs: three(nil), want: Plan{Why: "nothing is wrong", Well: true}},
		{
			name: "only our own lingering intent", vs: three(nil), entry: &state.Entry{Intents: []state.Intent{own}},
			want: Plan{Why: "nothing is wrong", Well: true},
		},
		{
			name: "two behind", vs: three(nil), entry: &state.Entry{Behind: []string{"g2", "g3"}},
			want: Plan{Action: Copy, Primary: "g1", Targets: []string{"g2", "g3"}},
		},
		{
			name: "behind, under our own intent", vs: three(nil), entry: &state.Entry{Behind: []string{"g2"}, Intents: []state.Intent{own}},
			want: Plan{Action: Copy, Primary: "g1", Targets: []string{"g2"}, Witnesses: []string{"g3"}},
		},
		{
			name: "behind, under another's intent", vs: three(nil), entry: &state.Entry{Behind: []string{"g2"}, Intents: []state.Intent{others}},
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
			name: "first in-sync storage fenced", vs: three(storageState("g1", state.Fenced)), entry: &state.Entry{Behind: []string{"g2"}},
			want: Plan{Why: "it has no primary"},
		},
		{
			name: "out and behind", vs: three(storageState("g3", state.Out)), entry: &state.Entry{Behind: []string{"g3"}},
			want: Plan{Why: "nothing is wrong", Well: true},
		},
		{
			name: "fenced and behind", vs: three(storageState("g3", state.Fenced)), entry: &state.Entry{Behind: []string{"g3"}},
			want: Plan{Why: "nothing is wrong", Well: true},
		},
		{
			name: "backfilling and behind", vs: three(storageState("g3", state.Backfilling)), entry: &state.Entry{Behind: []string{"g3"}},
			want: Plan{Action: Copy, Primary: "g1", Targets: []string{"g3"}, Witnesses: []string{"g2"}},
		},
		{
			name: "backfilling, not asked for", vs: three(storageState("g3", state.Backfilling)),
			want: Plan{Why: "nothing is wrong", Well: true},
		},
		{
			name: "backfilling, asked for", vs: three(storageState("g3", state.Backfilling)), backfilling: true,
			want: Plan{Action: Copy, Primary: "g1", Targets: []string{"g3"}, Witnesses: []string{"g2"}},
		},
		{
			name: "in doubt and due", vs: three(nil), entry: &state.Entry{Intents: []state.Intent{inDoubt(3, 0, "g1")}},
			want: Plan{Action: Resolve, Primary: "g1", Doubts: []state.DoubtRef{{Incarnation: 3, At: 3}}, Witnesses: []string{"g2", "g3"}},
		},
		{
			name: "all in-doubt intents change refs only", vs: three(nil),
			entry: &state.Entry{Intents: []state.Intent{refsOnly(inDoubt(3, 0)), refsOnly(inDoubt(4, 0))}},
			want: Plan{
				Action: Resolve, Primary: "g1", RefsOnly: true, Witnesses: []string{"g2", "g3"},
				Doubts: []state.DoubtRef{{Incarnation: 3, At: 3}, {Incarnation: 4, At: 4}},
			},
		},
		{
			name: "one in-doubt intent does not", vs: three(nil),
			entry: &state.Entry{Intents: []state.Intent{refsOnly(inDoubt(3, 0)), inDoubt(4, 0)}},
			want: Plan{
				Action: Resolve, Primary: "g1", Witnesses: []string{"g2", "g3"},
				Doubts: []state.DoubtRef{{Incarnation: 3, At: 3}, {Incarnation: 4, At: 4}},
			},
		},
		{
			name: "one in-doubt intent is due", vs: three(nil),
			entry: &state.Entry{Intents: []state.Intent{inDoubt(3, time.Minute), refsOnly(inDoubt(4, 0))}},
			want:  Plan{Action: Resolve, Primary: "g1", RefsOnly: true, Doubts: []state.DoubtRef{{Incarnation: 4, At: 4}}, Witnesses: []string{"g2", "g3"}},
		},
		{
			name: "in doubt before its bound", vs: three(nil),
			entry: &state.Entry{Intents: []state.Intent{inDoubt(3, time.Minute, "g1"), inDoubt(4, time.Second, "g1")}},
			want:  Plan{Action: Wait, Why: "a write that ended unseen may still have an effect", Wait: time.Second},
		},
		{
			name: "behind and target of an in-doubt intent", vs: three(nil),
			entry: &state.Entry{Behind: []string{"g2"}, Intents: []state.Intent{inDoubt(3, time.Minute, "g2")}},
			want:  Plan{Action: Wait, Why: "a write that ended unseen may still have an effect", Wait: time.Minute},
		},
		{
			name: "behind beside an in-doubt intent of the primary", vs: three(nil),
			entry: &state.Entry{Behind: []string{"g2"}, Intents: []state.Intent{inDoubt(3, time.Minute, "g1")}},
			want:  Plan{Action: Copy, Primary: "g1", Targets: []string{"g2"}, Witnesses: []string{"g3"}},
		},
		{
			name: "in doubt and unavailable", vs: three(nil),
			entry: &state.Entry{Behind: []string{"g1", "g2", "g3"}, Intents: []state.Intent{inDoubt(3, 0)}},
			want:  Plan{Why: "it has no primary"},
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := Make(Situation{
				VS: row.vs, Entry: row.entry, Self: self, Backfilling: row.backfilling, Left: bound,
				Reachable: func(s string) bool { return !slices.Contains(row.away, s) },
			})
			got.For = Waiting{} // see TestPlan_saysForWhatItWaits
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
			Name: name, State: rapid.SampledFrom([]state.StorageState{state.Serving, state.Serving, state.Fenced, state.Out, state.Backfilling}).Draw(t, "standing"),
		})
	}
	subset := func(label string) []string {
		set := rapid.SliceOfDistinct(rapid.SampledFrom(names), rapid.ID).Draw(t, label)
		slices.Sort(set)
		return set
	}
	entry := &state.Entry{Behind: subset("behind")}
	for inc := range rapid.IntRange(0, 3).Draw(t, "intents") {
		intent := state.Intent{Incarnation: state.Incarnation(inc + 1)}
		if rapid.Bool().Draw(t, "in doubt") {
			intent.InDoubt = &state.Doubt{At: state.Index(inc + 1), Scope: state.Scope{
				BoundMillis: rapid.Int64Range(0, 2).Draw(t, "bound"), Targets: subset("targets"), RefsOnly: rapid.Bool().Draw(t, "refs only"),
			}}
		} else {
			intent.Kind = rapid.SampledFrom([]state.IntentKind{state.Open, state.PrimaryOnly}).Draw(t, "kind")
		}
		entry.Intents = append(entry.Intents, intent)
	}
	away = subset("away")
	return Situation{
		VS: vs, Entry: entry, Self: 1, Backfilling: rapid.Bool().Draw(t, "backfilling"), Left: bound,
		Reachable: func(s string) bool { return !slices.Contains(away, s) },
	}, away
}

func TestPlan_keepsItsRules(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, away := drawSituation(t)
		p := Make(s)
		if p.Action == Idle || p.Action == Wait {
			if p.Why == "" {
				t.Fatalf("nothing says why: %+v", p)
			}
			if !p.Well && !slices.Contains(Reasons, p.For.Reason) {
				t.Fatalf("nothing says for what it waits: %+v", p)
			}
			return
		}
		if p.For.Reason != "" {
			t.Fatalf("it acts, and waits: %+v", p)
		}
		primary, ok := s.VS.Primary(s.Entry)
		if !ok || p.Primary != primary.Name || slices.Contains(away, p.Primary) {
			t.Fatalf("acts from %q; the primary is %q", p.Primary, primary.Name)
		}
		for _, intent := range s.Entry.Intents {
			if intent.Kind != "" && intent.Incarnation != s.Self {
				t.Fatalf("acts beside the live intent of %d", intent.Incarnation)
			}
			if intent.InDoubt == nil {
				continue
			}
			ref := state.DoubtRef{Incarnation: intent.Incarnation, At: intent.InDoubt.At}
			late := intent.InDoubt.BoundMillis > 0
			if slices.Contains(p.Doubts, ref) && late {
				t.Fatalf("resolves an intent that may still have an effect")
			}
			if p.Action == Resolve && !late && !slices.Contains(p.Doubts, ref) {
				t.Fatalf("does not resolve an intent that is due")
			}
			if p.RefsOnly && slices.Contains(p.Doubts, ref) && !intent.InDoubt.RefsOnly {
				t.Fatalf("compares refs where more may have changed")
			}
			for _, target := range p.Targets {
				if late && slices.Contains(intent.InDoubt.Targets, target) {
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
			if st := s.VS.Storage(witness); st.State != state.Serving || s.Entry.IsBehind(witness) || witness == p.Primary {
				t.Fatalf("%q is no witness", witness)
			}
		}
	})
}
