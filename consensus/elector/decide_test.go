package elector

import (
	"fmt"
	"testing"
	"time"

	"praefect/fsm/state"
)

func TestDecide_failsOver(t *testing.T) {
	r := newRig(t)
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
			r := newRig(t)
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
	r := newRig(t)
	r.apply(1, state.Command{Fence: &state.Fence{VirtualStorage: "default", Storages: []string{"g1"}, Why: state.WhySwitchover, Epoch: r.vs().Epoch}})
	r.history = nil
	r.look["g1"] = ""
	r.pass(400 * time.Millisecond)
	r.did()
	r.look["g1"] = "A"
	r.step(0)
	r.did("admit g1 serving")

	r = newRig(t)
	r.apply(1, state.Command{Fence: &state.Fence{VirtualStorage: "default", Storages: []string{"g1"}, Why: state.WhySwitchover, Epoch: r.vs().Epoch}})
	r.history = nil
	r.look["g1"] = ""
	r.pass(600 * time.Millisecond)
	r.did("admit g1 out")
}

func TestDecide_doesNotFailOver(t *testing.T) {
	for _, tc := range []struct {
		name    string
		given   func(r *rig)
		alarm   string
		instead string // what it does
	}{
		{name: "one voter of three", given: func(r *rig) { r.look["g1"], r.sees["g1"] = "dead", 1 }},
		{name: "two voters of three", given: func(r *rig) { r.look["g1"], r.sees["g1"] = "dead", 2 }, instead: "fence [g1] dead"},
		{name: "a secondary", given: func(r *rig) { r.look["g3"] = "dead" }, instead: "fence [g3] dead"},
		{name: "not explained", given: func(r *rig) { r.look["g1"] = "" }},
		{name: "switched off", given: func(r *rig) { r.look["g1"], r.in.Settings.Failover = "dead", false }, alarm: "switched off"},
		{name: "paused", alarm: "paused", given: func(r *rig) {
			r.look["g1"] = "dead"
			r.apply(1, state.Command{Pause: &state.Pause{VirtualStorage: "default"}})
		}},
		{name: "paused for a while", alarm: "paused", given: func(r *rig) {
			r.look["g1"] = "dead"
			r.apply(1, state.Command{Pause: &state.Pause{Until: r.in.Wall.Add(time.Millisecond).UnixMilli()}})
		}},
		{name: "paused no more", instead: "fence [g1] dead", given: func(r *rig) {
			r.look["g1"] = "dead"
			r.apply(1, state.Command{Pause: &state.Pause{Until: r.in.Wall.UnixMilli()}})
		}},
		{name: "nobody could serve", alarm: "no other storage could serve", given: func(r *rig) {
			r.look = map[string]string{"g1": "dead", "g2": "", "g3": ""}
		}},
		{name: "most of all at once", alarm: "more than half of all storages", given: func(r *rig) {
			r.look = map[string]string{"g1": "dead", "g2": "dead", "g3": "C"}
		}},
		{name: "the last moments were all it saw", given: func(r *rig) {
			r.look["g1"], r.memory, r.in.Started = "dead", Memory{}, r.in.Now-time.Second
		}},
		{name: "its term is young, its process is not", instead: "fence [g1] dead", given: func(r *rig) {
			r.look["g1"], r.memory = "dead", Memory{}
		}},
		{name: "its process is young, and saw the storage alive", instead: "fence [g1] dead", given: func(r *rig) {
			r.in.Started = r.in.Now - time.Second
			r.step(0)
			r.look["g1"] = "dead"
		}},
		{name: "another disk", instead: "fence [g1] dead", given: func(r *rig) { r.look["g1"] = "D" }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t)
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
			r := newRig(t)
			r.look["g1"] = "dead"
			r.pass(tc.between)
			r.look["g2"] = "dead"
			r.pass(time.Second)
			r.want(tc.want)
		})
	}
	t.Run("what was out before the term", func(t *testing.T) {
		r := newRig(t)
		r.look["g1"] = "dead"
		r.pass(time.Second)
		r.memory = Memory{}
		r.look["g2"] = "dead"
		r.pass(time.Second)
		r.want("g3 serving C, g1 out A, g2 out B")
	})
}

func TestDecide_defines(t *testing.T) {
	r := newRig(t)
	r.in.Configured[0].Storages = []string{"g3", "g2", "g1"}
	r.step(0)
	r.did() // another order is no command
	r.in.Configured[0].Storages = []string{"g1", "g2", "g3", "g4"}
	r.in.Differing = []string{"praefect-2"}
	r.step(0)
	r.did()
	r.warns("praefect-2")
	r.in.Differing = nil
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
