package elector

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"praefect/fsm/condition"
	"praefect/fsm/state"
	"praefect/test/must"
)

func TestDecide_failsOver(t *testing.T) {
	r := newFixture(t)
	r.step(0)
	r.did()
	r.look["g1"] = "dead"
	r.leases.applied = r.in.View.Index
	r.step(0)
	r.did("fence [g1] dead")
	r.step(time.Second)
	r.did() // not every instance has applied the fence
	r.want("g1 fenced A, g2 serving B, g3 serving C")
	r.leases.applied = r.in.View.Index
	r.step(0)
	r.did("admit g1 out")
	r.want("g2 serving B, g3 serving C, g1 out A")
	r.step(0)
	r.did()
	r.warns("praefectctl promote g1 --virtual-storage default")
}

// The next leader finds the fence, and nothing else.
func TestDecide_aNewLeaderGoesOn(t *testing.T) {
	for _, tc := range []struct {
		why, g1, want string
	}{
		{why: state.WhyDead, g1: "dead", want: "g2 serving B, g3 serving C, g1 out A"},
		{why: state.WhyDead, g1: "A", want: "g2 serving B, g3 serving C, g1 out A"},
		{why: state.WhyDrained, g1: "A", want: "g2 serving B, g3 serving C, g1 out A"},
		{why: state.WhySwitchover, g1: "A", want: "g2 serving B, g3 serving C, g1 serving A"},
		{why: state.WhySwitchover, g1: "dead", want: "g2 serving B, g3 serving C, g1 out A"},
		{why: state.WhySwitchover, g1: "D", want: "g2 serving B, g3 serving C, g1 out A"},
	} {
		t.Run(tc.why+" "+tc.g1, func(t *testing.T) {
			r := newFixture(t)
			r.apply(1, state.Command{Fence: &state.Fence{VirtualStorage: "default", Storages: []string{"g1"}, Why: tc.why, Epoch: r.vs().Epoch}})
			r.look["g1"], r.memory = tc.g1, Memory{}
			r.step(0)
			r.want(tc.want)
			if out := r.vs().Storage("g1"); out.State == state.Out && tc.why != state.WhySwitchover && out.Why != tc.why {
				t.Errorf("out because %q", out.Why)
			}
		})
	}
}

func TestDecide_waitsAMomentForWhatServesOn(t *testing.T) {
	r := newFixture(t)
	r.apply(1, state.Command{Fence: &state.Fence{VirtualStorage: "default", Storages: []string{"g1"}, Why: state.WhySwitchover, Epoch: r.vs().Epoch}})
	r.history = nil
	r.look["g1"] = ""
	r.pass(400 * time.Millisecond)
	r.did()
	r.look["g1"] = "A"
	r.step(0)
	r.did("admit g1 serving")

	r = newFixture(t)
	r.apply(1, state.Command{Fence: &state.Fence{VirtualStorage: "default", Storages: []string{"g1"}, Why: state.WhySwitchover, Epoch: r.vs().Epoch}})
	r.history = nil
	r.look["g1"] = ""
	r.pass(600 * time.Millisecond)
	r.did("admit g1 out")
}

// An operator's switchover has the operator's name in both of its lines of the history.
func TestDecide_admissionIsByWhoFenced(t *testing.T) {
	for _, by := range []string{"operator: promote g2 (alice)", automatic} {
		r := newFixture(t)
		r.apply(1, state.Command{Fence: &state.Fence{VirtualStorage: "default", Storages: []string{"g1"}, Why: state.WhySwitchover, Epoch: r.vs().Epoch, By: by}})
		r.leases.applied = r.in.View.Index
		r.step(0)
		last := r.vs().History[len(r.vs().History)-1]
		if last.Storage != "g1" || last.To != state.Serving || last.By != by {
			t.Errorf("fenced by %q, then %+v", by, last)
		}
	}
}

func TestDecide_doesNotFailOver(t *testing.T) {
	for _, tc := range []struct {
		name    string
		given   func(r *fixture)
		alarm   string
		instead string // what it does
	}{
		{name: "one voter of three", given: func(r *fixture) { r.look["g1"], r.sees["g1"] = "dead", 1 }},
		{name: "two voters of three", given: func(r *fixture) { r.look["g1"], r.sees["g1"] = "dead", 2 }, instead: "fence [g1] dead"},
		{name: "a secondary", given: func(r *fixture) { r.look["g3"] = "dead" }, instead: "fence [g3] dead"},
		{name: "not explained", given: func(r *fixture) { r.look["g1"] = "" }},
		{name: "switched off", given: func(r *fixture) { r.look["g1"], r.in.Settings.Failover = "dead", false }, alarm: "switched off"},
		{name: "paused", alarm: "paused", given: func(r *fixture) {
			r.look["g1"] = "dead"
			r.apply(1, state.Command{Pause: &state.Pause{VirtualStorage: "default"}})
		}},
		{name: "paused for a while", alarm: "paused", given: func(r *fixture) {
			r.look["g1"] = "dead"
			r.apply(1, state.Command{Pause: &state.Pause{Until: r.in.Wall.Add(time.Millisecond).UnixMilli()}})
		}},
		{name: "paused no more", instead: "fence [g1] dead", given: func(r *fixture) {
			r.look["g1"] = "dead"
			r.apply(1, state.Command{Pause: &state.Pause{Until: r.in.Wall.UnixMilli()}})
		}},
		{name: "nobody could serve", alarm: "no other storage could serve", given: func(r *fixture) {
			r.look = map[string]string{"g1": "dead", "g2": "", "g3": ""}
		}},
		{name: "most of all at once", alarm: "more than half of all storages", given: func(r *fixture) {
			r.look = map[string]string{"g1": "dead", "g2": "dead", "g3": "C"}
		}},
		{name: "the last moments were all it saw", given: func(r *fixture) {
			r.look["g1"], r.memory, r.in.Started = "dead", Memory{}, r.in.Now-time.Second
		}},
		{name: "its term is young, its process is not", instead: "fence [g1] dead", given: func(r *fixture) {
			r.look["g1"], r.memory = "dead", Memory{}
		}},
		{name: "its process is young, and saw the storage alive", instead: "fence [g1] dead", given: func(r *fixture) {
			r.in.Started = r.in.Now - time.Second
			r.step(0)
			r.look["g1"] = "dead"
		}},
		{name: "another disk", instead: "fence [g1] dead", given: func(r *fixture) { r.look["g1"] = "D" }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newFixture(t)
			tc.given(r)
			r.history = nil
			r.step(0)
			if tc.instead != "" {
				r.did(tc.instead)
			} else {
				r.did()
			}
			r.warns(tc.alarm)
		})
	}
}

// Two of three that die within the window are a mass failure even if the first
// was failed over before the second died, and so for whoever leads.
func TestDecide_massFailure(t *testing.T) {
	for _, tc := range []struct {
		between time.Duration
		want    string
	}{
		{between: 4 * time.Second, want: "g2 serving B, g3 serving C, g1 out A"},
		{between: 6 * time.Second, want: "g3 serving C, g1 out A, g2 out B"},
	} {
		t.Run(fmt.Sprint(tc.between), func(t *testing.T) {
			r := newFixture(t)
			r.look["g1"] = "dead"
			r.pass(tc.between)
			r.look["g2"] = "dead"
			r.pass(time.Second)
			r.want(tc.want)
		})
	}
	t.Run("what was out before the term", func(t *testing.T) {
		r := newFixture(t)
		r.look["g1"] = "dead"
		r.pass(time.Second)
		r.memory = Memory{}
		r.look["g2"] = "dead"
		r.pass(time.Second)
		r.want("g3 serving C, g1 out A, g2 out B")
	})
}

func TestDecide_defines(t *testing.T) {
	r := newFixture(t)
	r.in.Configured[0].Storages = []string{"g3", "g2", "g1"}
	r.step(0)
	r.did() // another order is no command
	r.in.Configured[0].Storages = []string{"g1", "g2", "g3", "g4"}
	r.files = map[int][]string{1: {"g1", "g2", "g3"}}
	r.step(0)
	r.did()
	r.warns(`storage "g4" of "default" is in the settings of "praefect-0" (virtual_storage.node, line 14 of its file), "praefect-2" (virtual_storage.node, line 14 of its file) and not in those of "praefect-1" (virtual_storage.node, line 10 of its file)`)
	r.files = nil
	r.step(0)
	r.did("define [g1 g2 g3 g4]")
	r.look["g4"] = "D"
	r.step(0)
	r.did("return g4 D")
	r.look["g4"] = "E"
	r.sees["g4"] = 1
	r.step(0)
	r.did()
	delete(r.sees, "g4")
	r.step(0)
	r.did("return g4 E")
	r.want("g1 serving A, g2 serving B, g3 serving C, g4 backfilling E")
}

// The first step of a term knows nothing of the others' settings yet.
func TestDecide_definesNothingBeforeEveryInstanceHasReported(t *testing.T) {
	r := newFixture(t)
	r.in.Configured[0].Storages = []string{"g1", "g2", "g3", "g4"}
	r.silent = map[int]bool{2: true}
	r.step(0)
	r.did()
	r.warns("")
	r.step(6 * time.Second)
	r.did()
	r.warns("praefect-2 has not; start it")
	r.silent = nil
	r.step(0)
	r.did("define [g1 g2 g3 g4]")
}

func TestDecide_settingsTakeNothingAway(t *testing.T) {
	for name, row := range map[string]struct {
		files map[int][]string
		says  string
	}{
		"the leader's file lacks one":  {map[int][]string{0: {"g1", "g2"}}, `storage "g3" of "default" is not in the settings of "praefect-0" (virtual_storage.node, line 10 of its file): that instance cannot use it`},
		"another file lacks one":       {map[int][]string{1: {"g1", "g2"}}, `is not in the settings of "praefect-1" (virtual_storage.node, line 10 of its file)`},
		"every file lacks one":         {map[int][]string{0: {"g1", "g2"}, 1: {"g1", "g2"}, 2: {"g1", "g2"}}, "is in the cluster and in no instance's settings: write it into every file, or remove it: praefectctl storage remove g3 -virtual-storage default"},
		"a file has no such storages":  {map[int][]string{2: {}}, `virtual storage "default" is not in the settings of "praefect-2"`},
		"no file has any such storage": {map[int][]string{0: {}, 1: {}, 2: {}}, "praefectctl virtual-storage remove default"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newFixture(t)
			r.files = row.files
			r.step(0)
			r.pass(time.Second)
			r.did()
			r.want("g1 serving A, g2 serving B, g3 serving C")
			if !slices.ContainsFunc(r.alarms, func(a condition.Raised) bool { return strings.Contains(a.Text, row.says) }) {
				t.Errorf("alarms: %+v, want one with %q", r.alarms, row.says)
			}
		})
	}
}

func TestDecide_definesWhatIsClaimed(t *testing.T) {
	r := newFixture(t)
	r.in.View = &state.State{}
	r.apply(0, state.Command{Register: &state.Register{ID: "i0", Name: "praefect-0", ClusterID: "c"}})
	r.in.Self, r.history = 1, nil
	r.in.Unclaimed = func(vs string) string { return vs + " belongs to another cluster" }
	r.step(0)
	r.did()
	r.warns("default belongs to another cluster")
	r.in.Unclaimed = func(string) string { return "" }
	r.step(0)
	r.did("define [g1 g2 g3]")
}

func TestRemoval(t *testing.T) {
	r := newFixture(t)
	listed := func(_ state.Command, err error) string {
		if l, ok := errors.AsType[*ErrListed](err); ok {
			return l.Why
		}
		t.Errorf("got %v", err)
		return ""
	}
	if why := listed(Removal(r.in.View, r.reports(), "default", "g3", "")); !strings.HasPrefix(why, `storage "g3" of "default" is in the settings of `) ||
		!strings.Contains(why, `"praefect-1" (virtual_storage, line 13 of its file)`) {
		t.Errorf("says %q", why)
	}
	r.in.Configured[0].Storages = []string{"g1", "g2"}
	r.silent = map[int]bool{1: true}
	if why := listed(Removal(r.in.View, r.reports(), "default", "g3", "")); !strings.Contains(why, `praefect-1 may list storage "g3" of "default"`) {
		t.Errorf("says %q", why)
	}
	r.silent = nil
	if _, err := Removal(r.in.View, r.reports(), "default", "g1", ""); err == nil || !strings.Contains(err.Error(), "settings of") {
		t.Errorf("of one that is listed: got %v", err)
	}
	c, err := Removal(r.in.View, r.reports(), "default", "g3", "operator")
	must.Succeed(t, err)
	r.apply(1, c)
	r.want("g1 serving A, g2 serving B")
	r.in.Configured[0].Storages = []string{"g2"}
	if _, err := Removal(r.in.View, r.reports(), "default", "g1", ""); err == nil || !strings.Contains(err.Error(), "primary") {
		t.Errorf("of the primary: got %v", err)
	}
	r.files = map[int][]string{0: {}, 1: {}, 2: {}}
	if c, err = Removal(r.in.View, r.reports(), "default", "", "operator"); err != nil || c.RemoveVirtualStorage == nil {
		t.Fatalf("got %+v, %v", c, err)
	}
	r.apply(1, c)
	if r.vs() != nil {
		t.Error("the virtual storage is still there")
	}
}
