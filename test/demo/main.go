// Command demo owns a cluster on this machine that people try the project out with: three storages
// over real git repositories, Postgres and three instances behind HAProxy, with a repository that
// was pushed and cloned back through them, and figures of the pauses and errors that clients saw
// while parts of it failed. It promises that a demo which is up stays up until it is taken down,
// that an up which fails leaves no process, and that build/demo.json describes the running
// processes. make demo and make demo-down call it.
package main

import (
	"context"
	"fmt"
	"io"

	"praefect/test/scenario"
)

const usage = `usage: demo [flags] up|down|status
  up      start the demo, push and clone through it, give a tour, leave it running
  down    stop it and remove its state
  status  tell which of its processes run
flags:
`

func main() { scenario.Main("demo", run) }

// run is the command, with its output for people on stdout and its messages
// about failures on stderr.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	c := scenario.NewCommand("demo", stderr)
	c.Usage = func() {
		fmt.Fprint(stderr, usage)
		c.PrintDefaults()
	}
	tour := c.Bool("tour", true, "let things happen to a new demo, and measure what clients notice")
	command, err := c.ReadWord(args, "up", "down", "status")
	if err != nil {
		return err
	}
	d, err := newDemo(c.Build, stdout, stderr)
	if err != nil {
		return err
	}
	d.tour = *tour
	release, err := d.lock()
	if err != nil {
		return err
	}
	defer release()
	return map[string]func(context.Context) error{"up": d.up, "down": d.down, "status": d.status}[command](ctx)
}
