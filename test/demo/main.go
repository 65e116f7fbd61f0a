// Command demo owns a cluster on this machine that people try the project out with: three storages
// over real git repositories, Postgres and three instances behind HAProxy, with a repository that
// was pushed and cloned back through them, and figures of the pauses and errors that clients saw
// while parts of it failed. It promises that a demo which is up stays up until it is taken down,
// that an up which fails leaves no process, and that build/demo.json describes the running
// processes. make demo and make demo-down call it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

const usage = `usage: demo [flags] up|down|status
  up      start the demo, push and clone through it, give a tour, leave it running
  down    stop it and remove its state
  status  tell which of its processes run
flags:
`

// errUsage is a command line that says nothing we can do; it was answered already.
var errUsage = errors.New("usage")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, errUsage):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// run is the command, with its output for people on stdout and its messages
// about failures on stderr.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprint(stderr, usage)
		flags.PrintDefaults()
	}
	build := flags.String("build", "build", "directory of the programs, which also takes demo.json")
	tour := flags.Bool("tour", true, "let things happen to a new demo, and measure what clients notice")
	if err := flags.Parse(args); err != nil {
		return errUsage
	}
	commands := map[string]func(*demo, context.Context) error{"up": (*demo).up, "down": (*demo).down, "status": (*demo).status}
	command, known := commands[flags.Arg(0)]
	if !known || flags.NArg() != 1 {
		flags.Usage()
		return errUsage
	}
	d, err := newDemo(*build, stdout, stderr)
	if err != nil {
		return err
	}
	d.tour = *tour
	release, err := d.lock()
	if err != nil {
		return err
	}
	defer release()
	return command(d, ctx)
}
