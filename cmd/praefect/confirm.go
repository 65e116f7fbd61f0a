package main

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v3"

	"praefect/cmd/terminal"
)

// confirmFlag gives the answer to a question on the command line.
func confirmFlag(what string) cli.Flag {
	return &cli.StringFlag{Name: "confirm", Usage: "the answer to the question: `" + what + "` once more"}
}

// confirm asks for a name to be typed, or takes it from -confirm; anything else refuses.
func (p *program) confirm(ctx context.Context, cmd *cli.Command, what, name string) error {
	typed := cmd.String("confirm")
	if !cmd.IsSet("confirm") {
		if err := p.print(fmt.Sprintf("Type %s (%s) to go on: ", what, name)); err != nil {
			return err
		}
		var err error
		if typed, err = terminal.ReadLine(ctx, p.stdin); err != nil {
			return err
		}
	}
	if typed != name {
		return fmt.Errorf("not confirmed: %q is not %q; nothing was changed", typed, name)
	}
	return nil
}
