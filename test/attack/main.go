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
	"fmt"
	"io"

	"praefect/test/scenario"
)

func main() { scenario.Main("attack", run) }

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	c := scenario.NewCommand("attack", stderr)
	keep, chosen := c.Keep(), scenario.Only(c, attacks(), func(a attack) string { return a.name })
	attempts := c.Int("attempts", 3, "how often an attack is made at most, if leadership is lost: a busy machine does that by itself")
	if err := c.Read(args); err != nil {
		return err
	}
	ground, err := scenario.Prepare(ctx, c.Build, repositories)
	if err != nil {
		return err
	}
	defer ground.Close()
	return onCluster(ctx, ground, *keep, func(w *harness) error { return w.suffer(ctx, *chosen, *attempts, stdout, stderr) })
}

// suffer runs the attacks, and says the cost of each.
func (w *harness) suffer(ctx context.Context, chosen []attack, attempts int, stdout, stderr io.Writer) error {
	fmt.Fprintf(stderr, "%d attacks, 20 s to a minute and a half each; first the clients work for %v …\n", len(chosen), warm)
	if err := w.warmUp(ctx); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "at rest: %s\n%s\n", w.rest, heading)
	var faults []error
	for _, a := range chosen {
		var r report
		for attempt := 1; attempt <= max(1, attempts); attempt++ {
			fmt.Fprintf(stderr, "%s …\n", a.name)
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
