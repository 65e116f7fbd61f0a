package elector

import (
	"testing"
	"time"

	"praefect/fsm/state"
)

// What an operator removed from the cluster, or calls gone, is retired once its lease has
// ended, however lately it was heard of.
func TestDecide_retiresWhatAnOperatorSaysIsGone(t *testing.T) {
	for _, tc := range []struct {
		name string
		say  func(r *fixture, gone state.Instance)
	}{
		{"removed", func(r *fixture, gone state.Instance) { r.in.Members = []string{"i0", "i1"} }},
		{"called gone", func(r *fixture, gone state.Instance) { r.in.Gone = map[state.Incarnation]string{gone.Incarnation: ""} }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newFixture(t)
			gone := r.in.View.Instances[2]
			r.in.Members = []string{"i0", "i1", "i2"}
			r.leases.leased[gone.Incarnation] = false
			r.step(0)
			r.did() // it is a member
			tc.say(r, gone)
			r.leases.leased[gone.Incarnation] = true
			r.step(0)
			r.did() // it may hold a lease
			r.leases.leased[gone.Incarnation] = false
			r.step(0)
			r.did("retire 3 operator")
		})
	}
}

// The ten minutes of silence go on when leadership moves.
func TestDecide_silenceCountsAcrossLeaders(t *testing.T) {
	r := newFixture(t)
	gone, other := r.in.View.Instances[2].Incarnation, r.in.View.Instances[1].Incarnation
	r.leases.leased[gone] = false
	for range 300 {
		r.leases.heard[other] = r.in.Now + time.Second
		r.step(time.Second)
	}
	// Another one leads, by its own clock, who was told.
	told := Decide(r.in, r.memory).Silent[gone]
	if got := r.in.Now - told; got != 300*time.Second {
		t.Fatalf("it is silent for %v, the instances are told", got)
	}
	const ahead = time.Hour
	delete(r.leases.heard, gone)
	r.memory, r.in.Now, r.in.Silent = Memory{}, r.in.Now+ahead, map[state.Incarnation]time.Duration{gone: told + ahead}
	for range 299 {
		r.leases.heard[other] = r.in.Now + time.Second
		r.step(time.Second)
	}
	r.did()
	r.leases.heard[other] = r.in.Now + time.Second
	r.step(time.Second)
	r.did("retire 3 silent")
}
