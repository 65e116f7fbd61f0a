// Command attack lets a stranger, a client with the token and a storage attack a cluster of three
// instances while clients are at work, with one attack after the other. Each attack is a small
// function; docs/security.md has the results. It promises to attack the instance that leads, and to
// end with an error if an attack took leadership at each attempt, if a read failed at an instance
// that was not attacked, or if the memory of an attacked instance was not back within a minute.
// `make attack` runs it. The packages' own tests have a short form of each attack, with counts.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"praefect/test/cluster"
	"praefect/test/workload"
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
		fmt.Fprintln(os.Stderr, "attack:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	flags := flag.NewFlagSet("attack", flag.ContinueOnError)
	flags.SetOutput(stderr)
	build := flags.String("build", "build", "directory of the programs")
	attempts := flags.Int("attempts", 3, "how often an attack is made at most, if leadership is lost: a busy machine does that by itself")
	keep := flags.String("keep", "", "directory where the files of the cluster stay; empty: they go")
	only := flags.String("only", "", "the attacks to run, with commas between; empty: all of "+strings.Join(names(), ","))
	if err := flags.Parse(args); err != nil || flags.NArg() > 0 {
		return errUsage
	}
	chosen := attacks()
	if *only != "" {
		wanted := strings.Split(*only, ",")
		for _, name := range wanted {
			if !slices.Contains(names(), name) {
				fmt.Fprintf(stderr, "no attack %q: want some of %v\n", name, names())
				return errUsage
			}
		}
		chosen = slices.DeleteFunc(chosen, func(a attack) bool { return !slices.Contains(wanted, a.name) })
	}
	binaries, err := cluster.BinariesIn(*build)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "attack-")
	if err != nil {
		return fmt.Errorf("make a directory: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }() // a rest of it disturbs nothing
	seeds, err := workload.NewSeeds(ctx, dir, repositories)
	if err != nil {
		return err
	}
	w, err := start(ctx, binaries, seeds, *keep)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.c.Stop(context.WithoutCancel(ctx))) }()
	return w.suffer(ctx, chosen, *attempts, stdout)
}

// suffer runs the attacks, and says the cost of each.
func (w *harness) suffer(ctx context.Context, chosen []attack, attempts int, stdout io.Writer) error {
	if err := w.warmUp(ctx); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "at rest: %s\n%s\n", w.rest, heading)
	var faults []error
	for _, a := range chosen {
		var r report
		for attempt := 1; attempt <= max(1, attempts); attempt++ {
			var err error
			if r, err = w.one(ctx, a); err != nil {
				return fmt.Errorf("%s: %w", a.name, err)
			}
			fmt.Fprintln(stdout, r)
			if r.terms == 0 { // an attack that takes leadership does so each time
				break
			}
		}
		for _, fault := range r.faults {
			fmt.Fprintln(stdout, "   ", fault)
			faults = append(faults, fmt.Errorf("%s: %s", a.name, fault))
		}
	}
	return errors.Join(faults...)
}
