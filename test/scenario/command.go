// Package scenario owns the common skeleton of the programs and suites that show something on a
// cluster of real processes: the command line of a program, its preparation and its end, a play with
// clients at work, faults, questions to a cluster, and the waits of tests. It promises that a play succeeds
// only if every acknowledged write is found again and all storages are equal at its end, that a
// cluster it starts is stopped, and that no file of figures is ever seen half written. Programs and
// tests of the module may call it; shipped code may not.
package scenario

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
)

// ErrUsage is the error of a wrong command line. Its text was printed already.
var ErrUsage = errors.New("usage")

// Main runs a program and exits: with 2 after ErrUsage, with 1 after another error, which it prints.
// SIGINT and SIGTERM end the context.
func Main(name string, run func(ctx context.Context, args []string, stdout, stderr io.Writer) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, ErrUsage):
		os.Exit(2)
	case err != nil:
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}

// Command is the command line of a program. Make one with NewCommand, add flags, then call Read.
type Command struct {
	*flag.FlagSet
	// Build is the directory of the programs of the cluster, as the flag -build says.
	Build string
}

// NewCommand returns a command line with the flag -build.
func NewCommand(name string, stderr io.Writer) *Command {
	c := &Command{FlagSet: flag.NewFlagSet(name, flag.ContinueOnError)}
	c.SetOutput(stderr)
	c.StringVar(&c.Build, "build", "build", "directory of the programs; make build fills it")
	return c
}

// Out adds the flag -o, which names the file of the figures.
func (c *Command) Out() *string {
	return c.String("o", filepath.Join("build", c.Name()+".json"), "where to write the figures")
}

// Keep adds the flag -keep, which names the directory where clusters stay.
func (c *Command) Keep() *string {
	return c.String("keep", "", "directory where the files of every cluster stay; empty: they go")
}

// Only adds the flag -only, which chooses some of all by their names. Without the flag all are chosen.
func Only[T any](c *Command, all []T, name func(T) string) *[]T {
	var names []string
	for _, one := range all {
		names = append(names, name(one))
	}
	chosen := all
	c.Func("only", "some of "+strings.Join(names, ",")+"; empty: all", func(list string) error {
		chosen = nil
		for wanted := range strings.FieldsFuncSeq(list, func(r rune) bool { return r == ',' }) {
			i := slices.Index(names, wanted)
			if i < 0 {
				return fmt.Errorf("there is no %q", wanted)
			}
			chosen = append(chosen, all[i])
		}
		if chosen == nil {
			chosen = all
		}
		return nil
	})
	return &chosen
}

// Read parses the arguments. An argument that belongs to no flag is a fault.
func (c *Command) Read(args []string) error {
	if err := c.Parse(args); err != nil {
		return ErrUsage
	}
	if c.NArg() > 0 {
		return c.Refuse("unknown argument %q", c.Arg(0))
	}
	return nil
}

// ReadWord parses arguments that end with one of some words, and returns it.
func (c *Command) ReadWord(args []string, words ...string) (string, error) {
	if err := c.Parse(args); err != nil {
		return "", ErrUsage
	}
	if c.NArg() != 1 || !slices.Contains(words, c.Arg(0)) {
		return "", c.Refuse("want one of %s", strings.Join(words, ", "))
	}
	return c.Arg(0), nil
}

// Refuse prints a fault of the command line, then the usage.
func (c *Command) Refuse(format string, args ...any) error {
	fmt.Fprintf(c.Output(), format+"\n", args...)
	c.Usage()
	return ErrUsage
}
