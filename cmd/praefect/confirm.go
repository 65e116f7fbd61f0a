package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v3"
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
		if typed, err = p.readLine(ctx); err != nil {
			return err
		}
	}
	if typed != name {
		return fmt.Errorf("not confirmed: %q is not %q; nothing was changed", typed, name)
	}
	return nil
}

// readLine reads a line that somebody types. After the end of ctx the read goes on in vain, until
// the process ends.
func (p *program) readLine(ctx context.Context) (string, error) {
	type result struct {
		line string
		err  error
	}
	read := make(chan result, 1) // holds the one result, whether it is still waited for or not
	go func() {
		line, err := bufio.NewReader(p.stdin).ReadString('\n')
		read <- result{line, err}
	}()
	select {
	case <-ctx.Done():
		return "", fmt.Errorf("nothing was changed: %w", ctx.Err())
	case got := <-read:
		if got.err != nil && !errors.Is(got.err, io.EOF) {
			return "", fmt.Errorf("read the answer: %w", got.err)
		}
		return strings.TrimSpace(got.line), nil
	}
}
