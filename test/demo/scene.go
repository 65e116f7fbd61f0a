package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	"praefect/test/cluster"
	"praefect/test/scenario"
	"praefect/test/workload"
)

const (
	// steady is how long clients are at work before something happens to them.
	steady = time.Second
	// watched is how long they are watched from then on, at least.
	watched = 4 * time.Second
	// postgresAway is how long Postgres is down.
	postgresAway = 5 * time.Second
	// sceneLimit bounds one scene and the repair after it.
	sceneLimit = 2 * time.Minute
)

// scene is something that happens to a cluster while clients are at work.
type scene struct {
	title string
	// happen lets it happen and returns when it has, with a text for people.
	happen func(context.Context) (detail string, err error)
	// mend takes it back; nil if there is nothing to.
	mend func(context.Context) error
}

// drama is a row of scenes on one cluster, and their figures.
type drama struct {
	c     *cluster.Cluster
	steps *steps
	seeds *workload.Seeds // what clients write to
	rows  table.Writer
}

// scenes are all, in an order in which each finds its preconditions.
func (d *drama) scenes() []scene {
	var storage *cluster.Storage
	var leader *cluster.Instance
	return []scene{
		{
			title: "kill -9 of the primary storage",
			happen: func(ctx context.Context) (_ string, err error) {
				if storage, err = d.c.Primary(ctx, virtualStorage); err != nil {
					return "", err
				}
				return storage.Label(), storage.Kill()
			},
			mend: func(context.Context) error { return storage.Start() },
		},
		{
			title: "praefectctl promote",
			happen: func(ctx context.Context) (string, error) {
				_, err := d.c.Operate(ctx, "promote", storage.Name, "-virtual-storage", virtualStorage)
				return "back to " + storage.Name, err
			},
		},
		{
			title: "kill -9 of the Raft leader",
			happen: func(ctx context.Context) (_ string, err error) {
				if leader, err = d.c.Leader(ctx); err != nil {
					return "", err
				}
				return leader.Label(), leader.Kill()
			},
			mend: func(context.Context) error { return leader.Start() },
		},
		{
			title: "SIGTERM of an instance",
			happen: func(ctx context.Context) (_ string, err error) {
				if leader, err = d.c.Leader(ctx); err != nil {
					return "", err
				}
				return leader.Label(), leader.Terminate(ctx)
			},
			mend: func(context.Context) error { return leader.Start() },
		},
		{
			title: "Postgres down",
			happen: func(ctx context.Context) (string, error) {
				return "for " + postgresAway.String(), scenario.PostgresAway(ctx, d.c, postgresAway)
			},
		},
	}
}

// play plays every scene and prints its figures.
func (d *drama) play(ctx context.Context) error {
	d.rows = newTable("what happened", "to", "longest pause", "failed writes", "failed reads", "unavailable repositories")
	for _, s := range d.scenes() {
		if err := d.one(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s.title, err)
		}
	}
	fmt.Fprintf(d.steps.d.stdout, "\n%s\n", d.rows.Render())
	return nil
}

// one plays a scene: clients work, it happens, it is mended, and everything that
// was acknowledged is found again.
func (d *drama) one(ctx context.Context, s scene) error {
	ctx, cancel := context.WithTimeout(ctx, sceneLimit)
	defer cancel()
	var detail string
	_, err := scenario.Play{
		Cluster: d.c, VirtualStorage: virtualStorage, Paths: d.seeds.Paths(), Steady: steady, Watch: watched, Mend: s.mend,
		// Few enough that a small machine keeps pace with their votes.
		Load: workload.Config{Writers: 4, Readers: 2, WriteEvery: 200 * time.Millisecond, ReadEvery: 100 * time.Millisecond, Own: d.seeds.Values()},
		Fault: func(ctx context.Context) (err error) {
			detail, err = s.happen(ctx)
			return err
		},
		Seen: func(o scenario.Outcome) {
			pause := o.Gap.Round(time.Millisecond)
			d.rows.AppendRow(table.Row{s.title, detail, pause, o.WritesFailed, o.ReadsFailed, o.Unavailable})
			d.steps.done(s.title, fmt.Sprintf("%s: pause %v, %d of %d requests failed", detail, pause,
				o.WritesFailed+o.ReadsFailed, o.Writes+o.Reads+o.WritesFailed+o.ReadsFailed))
		},
	}.Run(ctx)
	if err == nil {
		d.steps.done("  repaired", "all storages equal, every acknowledged write there")
	}
	return err
}
