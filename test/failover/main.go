// Command failover measures how clients fare while something fails: a storage, an instance, the
// network, Postgres, or an operator's patience. Each run has a fresh cluster of three instances,
// three storages on real git and HAProxy, with writers and readers at work. It promises that a run
// counts only if every acknowledged write was found again and all storages were equal at its end,
// and that it ends with an error if one was not. `make failover-bench` runs it and gets
// build/failover.json; nothing fails because a machine is slow, but a missed aim is reported.
package main

import (
	"context"
	"errors"
	"io"

	"praefect/test/postgres"
	"praefect/test/scenario"
)

// settings are the arguments of the command.
type settings struct {
	build string
	out   string
	keep  string // where clusters stay; empty: nowhere
	runs  int
	mode  string
	steps []step
	kept  []figure // of other modes and steps, in the same file
}

// The modes of consistency.
const (
	strong   = "strong"
	eventual = "eventual"
)

func main() { scenario.Main("failover", run) }

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	s, err := parse(args, stderr)
	if err != nil {
		return err
	}
	if s.kept, err = others(s); err != nil {
		return err
	}
	places := repositories
	if s.mode == strong {
		places = writers
	}
	ground, err := scenario.Prepare(ctx, s.build, places)
	if err != nil {
		return err
	}
	defer ground.Close()
	shared, err := postgres.Launch(ctx, postgres.Options{})
	if err != nil {
		return err
	}
	b := &bench{settings: s, ground: ground, postgres: shared, stdout: stdout}
	return errors.Join(b.run(ctx), shared.Close())
}

func parse(args []string, stderr io.Writer) (s settings, err error) {
	c := scenario.NewCommand("failover", stderr)
	out, keep, chosen := c.Out(), c.Keep(), scenario.Only(c, steps(), func(s step) string { return s.name })
	c.IntVar(&s.runs, "runs", 20, "how often each step is run")
	c.StringVar(&s.mode, "mode", strong, "[consistency] mode of the instances: strong or eventual")
	if err := c.Read(args); err != nil {
		return s, err
	}
	s.build, s.out, s.keep, s.steps = c.Build, *out, *keep, *chosen
	if s.runs < 1 || s.mode != strong && s.mode != eventual {
		return s, c.Refuse("-runs is below 1, or -mode is neither strong nor eventual")
	}
	return s, nil
}

func names(all []step) []string {
	var found []string
	for _, s := range all {
		found = append(found, s.name)
	}
	return found
}
