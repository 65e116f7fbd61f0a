package main

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/urfave/cli/v3"

	"praefect/cmd/terminal"
)

// watchFlags are the flags of every command whose answer changes by itself.
func watchFlags(more ...cli.Flag) []cli.Flag {
	return append(more,
		&cli.BoolFlag{Name: "watch", Aliases: []string{"w"}, Usage: "show it again and again, until Ctrl-C; then the exit code is 0"},
		&cli.DurationFlag{Name: "interval", Value: 2 * time.Second, Usage: "the `TIME` between two looks of -watch"})
}

// watch carries out a command again and again until ctx ends. That no instance answers is a thing
// to see, too; only a wrong request ends it. A screen is written whole, once it is known, so that it
// does not flicker.
func (r *run) watch(ctx context.Context, do func(context.Context, *run) error) error {
	interval := r.cmd.Duration("interval")
	if interval <= 0 {
		return usage("-interval is %v: want more than 0", interval)
	}
	for {
		var screen bytes.Buffer
		look := *r
		out := *r.out
		out.w = &screen
		look.out = &out
		if err := do(ctx, &look); err != nil && ctx.Err() == nil {
			switch exitCode(ctx, err) {
			case exitUnavailable, exitDegraded, exitTimeout:
				if text := err.Error(); text != "" {
					fmt.Fprintln(r.stderr, "praefectctl: "+terminal.Text(text))
				}
			default:
				r.out.print(screen.String())
				return err
			}
		}
		if ctx.Err() == nil && screen.Len() > 0 {
			if r.out.terminal {
				r.out.print("\x1b[H\x1b[2J")
			}
			r.out.print(screen.String())
		}
		if r.out.err != nil || !sleep(ctx, interval) {
			return nil
		}
		if !r.out.documents() && !r.out.terminal {
			r.out.printf("\n")
		}
	}
}
