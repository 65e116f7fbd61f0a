package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"praefect/test/scenario"
)

// step is one thing that happens to a cluster at work.
type step struct {
	name string
	// network says that it needs namespaces, and with them root.
	network bool
	// balanced says that the balancer puts the clients to where it will; else they
	// are spread over the instances in turn.
	balanced bool
	// hit names the instance whose clients are counted apart; nil if none is.
	hit func(ctx context.Context, w *harness, run int) (string, error)
	// fault lets it happen, and returns when it has.
	fault func(context.Context, *harness) error
	// watch is for how long after its begin clients are watched, at least.
	watch time.Duration
	// mend takes it back, for the check of the end state.
	mend func(context.Context, *harness) error
	// aims are the results that it should have.
	aims []aim
	// voted are further ones where writes are voted on.
	voted []aim
}

// wanted are the aims of a step in a mode.
func (s step) wanted(mode string) []aim {
	if mode == strong {
		return append(slices.Clip(s.aims), s.voted...)
	}
	return s.aims
}

// postgresAway is how long Postgres is down.
const postgresAway = 30 * time.Second

// steps are all steps, in the order in which they are run.
func steps() []step {
	return []step{
		{
			name: "kill-primary", watch: 2500 * time.Millisecond,
			fault: func(_ context.Context, w *harness) error { return w.primary.Kill() },
			mend:  func(ctx context.Context, w *harness) error { return w.primary.Start() },
			aims:  []aim{medianGap(500 * time.Millisecond), longestGap(time.Second), noReadFailed()},
			voted: []aim{allAvailable()},
		},
		{
			name: "stop-primary", watch: 8500 * time.Millisecond,
			fault: func(_ context.Context, w *harness) error { return w.primary.Pause() },
			mend:  func(_ context.Context, w *harness) error { return w.primary.Resume() },
			aims:  []aim{longestGap(6 * time.Second), noReadFailed()},
			voted: []aim{allAvailable()},
		},
		{
			name: "cut-primary", watch: 5 * time.Second, network: true,
			fault: func(ctx context.Context, w *harness) error { return w.testbed.Isolate(ctx, w.primary.Label()) },
			mend:  func(ctx context.Context, w *harness) error { return w.testbed.Heal(ctx) },
			aims:  []aim{longestGap(3 * time.Second), noReadFailed()},
			voted: []aim{allAvailable()},
		},
		{
			name: "kill-leader", watch: 2500 * time.Millisecond, hit: leader,
			fault: func(_ context.Context, w *harness) error { return w.instance().Kill() },
			mend:  func(ctx context.Context, w *harness) error { return w.instance().Start() },
			aims:  []aim{noWriteFailed(), noReadFailed(), slowest(2 * time.Second), backWithin(time.Second)},
		},
		{
			name: "cut-instance", watch: 4 * time.Second, network: true, hit: someInstance,
			fault: func(ctx context.Context, w *harness) error { return w.testbed.Isolate(ctx, w.hit) },
			mend:  func(ctx context.Context, w *harness) error { return w.testbed.Heal(ctx) },
			aims:  []aim{noWriteFailed(), noReadFailed(), slowest(2 * time.Second), refusedWithin(time.Second)},
		},
		{
			name: "promote", watch: 2 * time.Second, fault: promote,
			aims:  []aim{noWriteFailed(), noReadFailed()},
			voted: []aim{nearlyEveryGap(250 * time.Millisecond)},
		},
		{
			name: "postgres-down", watch: postgresAway, fault: withoutPostgres,
			aims: []aim{noWriteFailed(), noReadFailed()},
		},
		{
			name: "rolling-restart", balanced: true, watch: 5 * time.Second, fault: restartAll,
			aims: []aim{noWriteFailed(), noReadFailed()},
		},
	}
}

func leader(ctx context.Context, w *harness, _ int) (string, error) {
	i, err := w.c.Leader(ctx)
	if err != nil {
		return "", err
	}
	return i.Label(), nil
}

// someInstance is the leader in every other run, and a follower in the others.
func someInstance(ctx context.Context, w *harness, run int) (string, error) {
	label, err := leader(ctx, w, run)
	if err != nil || run%2 == 0 {
		return label, err
	}
	w.hit = label
	return scenario.Others(w.c, w.instance())[0].Label(), nil
}

// promote makes the next storage the primary.
func promote(ctx context.Context, w *harness) error {
	for _, s := range w.c.Storages {
		if s == w.primary {
			continue
		}
		_, err := w.c.Operate(ctx, "promote", s.Name, "-virtual-storage", virtualStorage)
		return err
	}
	return fmt.Errorf("there is no storage beside %s", w.primary.Label())
}

func withoutPostgres(ctx context.Context, w *harness) error {
	return scenario.PostgresAway(ctx, w.c, postgresAway)
}

// restartAll restarts one instance after the other, as an upgrade does.
func restartAll(ctx context.Context, w *harness) error { return scenario.RestartEach(ctx, w.c) }
