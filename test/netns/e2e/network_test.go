package e2e

import (
	"context"
	"errors"
	"testing"
	"time"

	"praefect/test/cluster"
	"praefect/test/netns"
)

// The ports of the hosts, as the cluster chooses them.
const (
	raftPort    = 2307
	storagePort = 8075
)

// aWhile is how long a fault lasts at least: longer than leases and elections.
const aWhile = 4 * time.Second

func TestInstances_arePartedInEveryWay(t *testing.T) {
	lab := netns.Run(t)
	w := begin(t, lab, cluster.Options{})
	leader, follower := w.leader().Label(), w.follower().Label()
	w.during("the leader is alone", aWhile,
		func(ctx context.Context) error { return lab.Isolate(ctx, leader) }, lab.Heal)
	leader, follower = w.leader().Label(), w.follower().Label()
	w.during("a follower is alone", aWhile,
		func(ctx context.Context) error { return lab.Isolate(ctx, follower) }, lab.Heal)
	leader, follower = w.leader().Label(), w.follower().Label()
	w.during("the leader is not heard by a follower", aWhile,
		func(ctx context.Context) error { return lab.Cut(ctx, leader, follower) }, lab.Heal)
	leader, follower = w.leader().Label(), w.follower().Label()
	w.during("a follower is not heard by the leader", aWhile,
		func(ctx context.Context) error { return lab.Cut(ctx, follower, leader) }, lab.Heal)
	leader, follower = w.leader().Label(), w.follower().Label()
	w.during("two reach only the third", aWhile,
		func(ctx context.Context) error { return lab.Part(ctx, []string{leader}, []string{follower}) }, lab.Heal)
	leader = w.leader().Label()
	w.during("the leader hears nobody", aWhile, func(ctx context.Context) error {
		var faults []error
		for _, i := range w.c.Instances {
			if i.Label() != leader {
				faults = append(faults, lab.Cut(ctx, i.Label(), leader))
			}
		}
		return errors.Join(faults...)
	}, lab.Heal)
	w.settled()
}

func TestStorages_arePartedFromInstances(t *testing.T) {
	lab := netns.Run(t)
	w := begin(t, lab, cluster.Options{})
	var instances []string
	for _, i := range w.c.Instances {
		instances = append(instances, i.Label())
	}
	primary := w.primary().Label()
	w.during("the primary is cut off", aWhile,
		func(ctx context.Context) error { return lab.Part(ctx, instances, []string{primary}) }, lab.Heal)
	w.converge()
	primary = w.primary().Label()
	w.during("the primary's answers are lost", aWhile, func(ctx context.Context) error {
		var faults []error
		for _, i := range instances {
			faults = append(faults, lab.Cut(ctx, primary, i))
		}
		return errors.Join(faults...)
	}, lab.Heal)
	w.converge()
	primary = w.primary().Label()
	w.during("the primary is reset", aWhile, func(ctx context.Context) error {
		var faults []error
		for _, i := range instances {
			faults = append(faults, lab.Reset(ctx, i, primary))
		}
		return errors.Join(faults...)
	}, lab.Heal)
	w.converge()
	// One of three cannot call it dead; that one's writes wait until it is back.
	primary = w.primary().Label()
	w.during("one instance does not reach the primary", aWhile, func(ctx context.Context) error {
		return lab.Part(ctx, instances[:1], []string{primary})
	}, lab.Heal)
	if after := w.primary().Label(); after != primary {
		t.Errorf("%s was replaced by %s on the word of one instance", primary, after)
	}
	w.settled()
}

func TestNetwork_losesAndDelays(t *testing.T) {
	lab := netns.Run(t)
	w := begin(t, lab, cluster.Options{})
	const share, wait = 0.02, 100 * time.Millisecond
	w.during("packets are lost everywhere", aWhile, func(ctx context.Context) error {
		var faults []error
		for _, i := range w.c.Instances {
			for _, other := range lab.Labels() {
				if other != i.Label() {
					faults = append(faults, lab.Lose(ctx, other, i.Label(), share))
				}
			}
		}
		return errors.Join(faults...)
	}, lab.Heal)
	slow := w.follower()
	w.during("an instance is far away", aWhile, func(ctx context.Context) error {
		var faults []error
		for _, i := range w.c.Instances {
			if i != slow {
				faults = append(faults, lab.Delay(ctx, i.Label(), slow.Label(), raftPort, wait),
					lab.Delay(ctx, slow.Label(), i.Label(), raftPort, wait))
			}
		}
		return errors.Join(faults...)
	}, lab.Heal)
	primary := w.primary()
	w.during("the primary is far away", aWhile, func(ctx context.Context) error {
		var faults []error
		for _, i := range w.c.Instances {
			faults = append(faults, lab.Delay(ctx, i.Label(), primary.Label(), storagePort, wait))
		}
		return errors.Join(faults...)
	}, lab.Heal)
	w.settled()
}
