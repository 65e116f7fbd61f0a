package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/urfave/cli/v3"

	"praefect/cmd/terminal"
)

func yesFlag() cli.Flag {
	return &cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "do not ask whether to go on"}
}

// proceed asks a person at a terminal whether to go on. Without a terminal it goes on: only a
// command that loses data needs more than the command itself.
func (r *run) proceed(ctx context.Context) error {
	if !r.interactive || r.cmd.Bool("yes") {
		return nil
	}
	fmt.Fprint(r.stderr, "Proceed? [y/N] ")
	line, err := terminal.ReadLine(ctx, r.stdin)
	if err != nil {
		return err
	}
	if answer := strings.ToLower(line); answer != "y" && answer != "yes" {
		return coded{exitRefused, errors.New("not confirmed: nothing was changed")}
	}
	return nil
}
