package elector

import (
	"slices"
	"testing"
	"time"

	"praefect/consensus/health"
	"praefect/fsm/condition"
	"praefect/fsm/state"
)

// out is a fixture whose g1 was failed over.
func out(t *testing.T) *fixture {
	r := newFixture(t)
	r.look["g1"] = "dead"
	r.step(0)
	r.step(0)
	r.want("g2 serving B, g3 serving C, g1 out A")
	r.history = nil
	return r
}

func TestDecide_returnsAfterAWhile(t *testing.T) {
	r := out(t)
	r.look["g1"], r.connected = "A", r.vs().Storage("g1").Since
	r.pass(10 * time.Second)
	r.did()
	r.step(100 * time.Millisecond)
	r.did("return g1 A")
	r.want("g2 serving B, g3 serving C, g1 serving A")
}

func TestDecide_returnNeedsUnbrokenHealth(t *testing.T) {
	for _, tc := range []struct {
		name    string
		trouble func(r *fixture)
	}{
		{name: "died again", trouble: func(r *fixture) { r.look["g1"] = "dead" }},
		{name: "was not seen", trouble: func(r *fixture) { r.look["g1"] = "" }},
		{name: "was seen by one", trouble: func(r *fixture) { r.sees["g1"] = 1 }},
		{name: "over old connections", trouble: func(r *fixture) { r.connected = 0 }},
		{name: "another leader", trouble: func(r *fixture) { r.memory = Memory{} }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := out(t)
			r.look["g1"], r.connected = "A", r.vs().Storage("g1").Since
			well := r.connected
			r.pass(9 * time.Second)
			tc.trouble(r)
			r.step(100 * time.Millisecond)
			r.look["g1"], r.connected = "A", well
			delete(r.sees, "g1")
			r.pass(5 * time.Second)
			r.did()
		})
	}
}

func TestDecide_returnsAtOnce(t *testing.T) {
	for _, tc := range []struct {
		name  string
		given func(r *fixture)
		did   []string
		want  string
	}{
		{name: "nothing else serves", given: func(r *fixture) { r.look["g2"], r.look["g3"] = "dead", "dead" },
			did: []string{"return g1 A"}, want: "g2 serving B, g3 serving C, g1 serving A"},
		{name: "another disk", given: func(r *fixture) { r.look["g1"] = "D" },
			did: []string{"return g1 D"}, want: "g2 serving B, g3 serving C, g1 backfilling D"},
		{name: "one sees another disk", given: func(r *fixture) { r.look["g1"], r.sees["g1"] = "D", 1 },
			want: "g2 serving B, g3 serving C, g1 out A"},
		{name: "drained", given: func(r *fixture) {
			r.apply(1, state.Command{Drain: &state.Drain{VirtualStorage: "default", Storage: "g1"}})
			r.history = nil
			r.look["g2"], r.look["g3"] = "dead", "dead"
		}, want: "g2 serving B, g3 serving C, g1 out A"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := out(t)
			r.look["g1"], r.connected = "A", r.vs().Storage("g1").Since
			tc.given(r)
			r.step(0)
			r.did(tc.did...)
			r.want(tc.want)
		})
	}
}

// TestDecide_returnsAtOnceIfARepositoryWaits: clients of a repository that only the dead storage
// has wait for it, and nobody waits for the one that another storage has, too.
func TestDecide_returnsAtOnceIfARepositoryWaits(t *testing.T) {
	for _, tc := range []struct {
		name     string
		agreeing []string
		did      []string
	}{
		{"only the dead storage has it", []string{"g1"}, []string{"return g1 A"}},
		{"another storage has it, too", []string{"g1", "g2"}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newFixture(t)
			paths := []string{"a.git"}
			r.apply(1, state.Command{Open: &state.OpenIntent{VirtualStorage: "default", Paths: paths, Kind: state.PrimaryOnly}})
			r.apply(1, state.Command{MarkBehind: &state.MarkBehind{
				VirtualStorage: "default", Paths: paths, Primary: "g1", Epoch: r.vs().Epoch, Agreeing: tc.agreeing,
			}})
			r.apply(1, state.Command{Close: &state.CloseIntent{VirtualStorage: "default", Paths: paths}})
			r.look["g1"] = "dead"
			r.step(0)
			r.step(0)
			r.history = nil
			r.look["g1"] = "A"
			r.step(0)
			r.did() // over the connections of before the fence it never returns
			r.connected = r.vs().Storage("g1").Since
			r.step(0)
			r.did(tc.did...)
		})
	}
}

// TestDecide_saysWhenAStorageReturns counts down, and only for a storage that is well.
func TestDecide_saysWhenAStorageReturns(t *testing.T) {
	r := out(t)
	name := health.Name{VirtualStorage: "default", Storage: "g1"}
	r.step(100 * time.Millisecond)
	if len(r.rejoining) > 0 {
		t.Errorf("a dead storage is said to return: %v", r.rejoining)
	}
	r.look["g1"], r.connected = "A", r.vs().Storage("g1").Since
	r.step(100 * time.Millisecond)
	at := r.rejoining[name]
	if left := at - r.in.Now; left != 10*time.Second {
		t.Errorf("it returns in %v, want 10s", left)
	}
	r.pass(9 * time.Second)
	if r.rejoining[name] != at {
		t.Errorf("now it returns at %v, before at %v", r.rejoining[name], at)
	}
	r.pass(2 * time.Second)
	if len(r.rejoining) > 0 || r.vs().Storage("g1").State != state.Serving {
		t.Errorf("after it has returned: %v, %s", r.rejoining, r.vs().Storage("g1").State)
	}
}

func TestDecide_waitsLongerForWhatFlaps(t *testing.T) {
	r := newFixture(t)
	var waits []time.Duration
	for range 7 {
		r.look["g1"] = "dead"
		r.step(0)
		r.step(0)
		r.look["g1"], r.connected = "A", r.in.View.Index
		began := r.in.Now
		for r.vs().Storage("g1").State == state.Out && r.in.Now-began < time.Hour {
			r.step(time.Second)
		}
		waits = append(waits, (r.in.Now-began)/time.Second-1)
	}
	if want := []time.Duration{10, 20, 40, 80, 160, 300, 300}; !slices.Equal(waits, want) {
		t.Errorf("waited %v s, want %v", waits, want)
	}
	r.step(2 * time.Hour)
	r.look["g1"] = "dead"
	r.step(0)
	r.step(0)
	r.look["g1"], r.connected = "A", r.in.View.Index
	r.pass(11 * time.Second)
	if r.vs().Storage("g1").State != state.Serving {
		t.Error("what was long ago still counts")
	}
}

func TestDecide_differentDisksAreForAPerson(t *testing.T) {
	r := out(t)
	r.look["g1"] = "A"
	r.in.Counts = r.counts()
	r.look["g1"] = "D"
	r.sees["g1"] = 1
	for name, count := range r.counts() {
		if name.Storage == "g1" {
			other := r.in.Counts[name]
			for disk, n := range count.Disks {
				other.Disks[disk] = n
			}
		}
	}
	d := Decide(r.in, r.memory)
	if len(d.Commands) > 0 || !slices.ContainsFunc(d.Alarms, func(a condition.Raised) bool {
		return a.Name == condition.DisksDiffer && a.Text == `the instances see different disks behind "g1" of "default": their addresses for it differ`
	}) {
		t.Errorf("got %+v, alarms %+v", d.Commands, d.Alarms)
	}
}

func TestDecide_retires(t *testing.T) {
	r := newFixture(t)
	gone := r.in.View.Instances[2].Incarnation
	r.in.Refusals = map[state.Incarnation]int{gone: 2}
	r.step(900 * time.Millisecond)
	r.did()
	if len(r.probe) > 0 {
		t.Errorf("probed %v", r.probe)
	}
	r.leases.heard[r.in.View.Instances[1].Incarnation] = r.in.Now
	r.step(100 * time.Millisecond)
	r.did() // it may hold a lease
	if !slices.Equal(r.probe, []state.Incarnation{gone}) {
		t.Errorf("probed %v", r.probe)
	}
	r.leases.leased[gone] = false
	r.in.Refusals[gone] = 1
	r.step(0)
	r.did() // one may be wrong
	r.in.Refusals[gone] = 2
	r.step(0)
	r.did("retire 3 refused")
}

func TestDecide_retiresAfterLongSilence(t *testing.T) {
	r := newFixture(t)
	gone, other := r.in.View.Instances[2].Incarnation, r.in.View.Instances[1].Incarnation
	delete(r.leases.heard, gone) // never, in this term
	r.leases.leased[gone] = false
	for range 599 {
		r.leases.heard[other] = r.in.Now + time.Second
		r.step(time.Second)
	}
	r.did()
	r.step(time.Second)
	r.did("retire 3 silent")
}

func TestDecide_secondaryWithAnotherDiskIsBackfilledWithoutFailover(t *testing.T) {
	for _, tc := range []struct{ storage, did string }{
		{"g1", ""}, // the primary is for a person
		{"g2", "return g2 D"},
	} {
		r := newFixture(t)
		r.in.Settings.Failover = false
		r.look[tc.storage] = "D"
		r.step(0)
		if tc.did == "" {
			r.did()
			continue
		}
		r.did(tc.did)
	}
}

func TestDecide_retiresNobodyWhoHasJustCome(t *testing.T) {
	r := newFixture(t)
	r.pass(2 * time.Second)
	r.in.Now += time.Hour // the leader is of long standing
	for inc := range r.leases.heard {
		r.leases.heard[inc] = r.in.Now
	}
	r.apply(0, state.Command{Register: &state.Register{ID: "i3", Name: "praefect-3"}})
	r.history = nil
	r.step(0)
	r.step(time.Second)
	r.did()
}
