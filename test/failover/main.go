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
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"praefect/test/cluster"
	"praefect/test/postgres"
	"praefect/test/workload"
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

// errUsage is a command line that says nothing we can do; it was answered already.
var errUsage = errors.New("usage")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, errUsage):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "failover:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	s, err := parse(args, stderr)
	if err != nil {
		return err
	}
	binaries, err := cluster.BinariesIn(s.build)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "failover-")
	if err != nil {
		return fmt.Errorf("make a directory: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }() // a rest of it disturbs nothing
	if s.kept, err = others(s); err != nil {
		return err
	}
	places := repositories
	if s.mode == strong {
		places = writers
	}
	seeds, err := workload.NewSeeds(ctx, dir, places)
	if err != nil {
		return err
	}
	shared, err := postgres.Launch(ctx, postgres.Options{})
	if err != nil {
		return err
	}
	b := &bench{settings: s, binaries: binaries, seeds: seeds, postgres: shared, stdout: stdout}
	return errors.Join(b.run(ctx), shared.Close())
}

func parse(args []string, stderr io.Writer) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("failover", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&s.build, "build", "build", "directory of the programs")
	flags.StringVar(&s.out, "o", filepath.Join("build", "failover.json"), "where to write the figures")
	flags.StringVar(&s.keep, "keep", "", "directory where the files of every cluster stay; empty: they go")
	flags.IntVar(&s.runs, "runs", 20, "how often each step is run")
	flags.StringVar(&s.mode, "mode", strong, "[consistency] mode of the instances: strong or eventual")
	only := flags.String("only", "", "the steps to run, with commas between; empty: all of "+strings.Join(names(steps()), ","))
	if err := flags.Parse(args); err != nil {
		return s, errUsage
	}
	for _, name := range strings.FieldsFunc(*only, func(r rune) bool { return r == ',' }) {
		i := slices.IndexFunc(steps(), func(known step) bool { return known.name == name })
		if i < 0 {
			fmt.Fprintf(stderr, "no step %q: want some of %v\n", name, names(steps()))
			return s, errUsage
		}
		s.steps = append(s.steps, steps()[i])
	}
	if *only == "" {
		s.steps = steps()
	}
	if flags.NArg() > 0 || s.runs < 1 || s.mode != strong && s.mode != eventual {
		flags.Usage()
		return s, errUsage
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
