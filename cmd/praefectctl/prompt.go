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

func yesFlag() cli.Flag {
	return &cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "do not ask whether to go on"}
}

// proceed asks somebody at a terminal whether to go on. Where nobody is, it
// goes on: only what loses data needs more than the command itself.
func (r *run) proceed(ctx context.Context) error {
	if !r.interactive || r.cmd.Bool("yes") {
		return nil
	}
	fmt.Fprint(r.stderr, "Proceed? [y/N] ")
	line, err := readLine(ctx, r.stdin)
	if err != nil {
		return err
	}
	if answer := strings.ToLower(line); answer != "y" && answer != "yes" {
		return coded{exitRefused, errors.New("not confirmed: nothing was changed")}
	}
	return nil
}

// readLine reads a line that somebody types. After the end of ctx the read goes
// on in vain, until the process ends.
func readLine(ctx context.Context, from io.Reader) (string, error) {
	type result struct {
		line string
		err  error
	}
	read := make(chan result, 1)
	go func() {
		line, err := bufio.NewReader(from).ReadString('\n')
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
