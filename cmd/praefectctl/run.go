package main

import (
	"context"
	"time"

	"github.com/urfave/cli/v3"
)

// run is one command being carried out: its command line, the instances to ask and the output to
// print to.
type run struct {
	*program
	cmd  *cli.Command
	args []string // as many as the command takes
	to   endpoints
	out  *output
}

// action is the action of a command that takes arguments of these names, some
// of which may be left out if their names end in "?". do asks the instances,
// prints their answers, and returns the error that carries the exit code.
func (p *program) action(names []string, do func(ctx context.Context, r *run) error) cli.ActionFunc {
	return func(ctx context.Context, cmd *cli.Command) error {
		r, err := p.newRun(cmd, names)
		if err != nil {
			return err
		}
		if r.to, err = p.endpoints(ctx, cmd); err != nil {
			return err
		}
		if cmd.Bool("watch") {
			return r.watch(ctx, do)
		}
		if err := do(ctx, r); err != nil {
			return err
		}
		return r.out.err
	}
}

// offline is action for a command that asks no instance.
func (p *program) offline(names []string, do func(ctx context.Context, r *run) error) cli.ActionFunc {
	return func(ctx context.Context, cmd *cli.Command) error {
		r, err := p.newRun(cmd, names)
		if err != nil {
			return err
		}
		if err := do(ctx, r); err != nil {
			return err
		}
		return r.out.err
	}
}

// newRun checks the arguments and flags that all commands have.
func (p *program) newRun(cmd *cli.Command, names []string) (*run, error) {
	args := cmd.Args().Slice()
	if err := checkArguments(cmd.FullName(), names, args); err != nil {
		return nil, err
	}
	out := &output{w: p.stdout, terminal: p.terminal, utf8: p.utf8(), colour: p.terminal && p.getenv("NO_COLOR") == "" && !cmd.Bool("no-color")}
	switch format := cmd.String("output"); format {
	case formatTable, formatWide, formatJSON, formatYAML:
		out.format = format
	default:
		return nil, usage("-output is %q: want table, wide, json or yaml", format)
	}
	if timeout := cmd.Duration("timeout"); timeout <= 0 {
		return nil, usage("-timeout is %v: want more than 0", timeout)
	}
	return &run{program: p, cmd: cmd, args: args, out: out}, nil
}

func checkArguments(command string, names, args []string) error {
	least := 0
	for _, name := range names {
		if name[len(name)-1] != '?' {
			least++
		}
	}
	switch {
	case len(names) == 0 && len(args) > 0:
		return usage("%s takes no arguments", command)
	case len(args) < least:
		return usage("%s: %s is missing", command, names[len(args)])
	case len(args) > len(names):
		return usage("%s: %q is one argument too many", command, args[len(names)])
	}
	return nil
}

// aside is where plans and questions go, beside the answer: standard error, with signs and colours
// where a person sits at it.
func (r *run) aside() *output {
	return &output{w: r.stderr, terminal: r.interactive, utf8: r.utf8(), colour: r.interactive && r.getenv("NO_COLOR") == "" && !r.cmd.Bool("no-color")}
}

// arg is an argument that may have been left out.
func (r *run) arg(i int) string {
	if i < len(r.args) {
		return r.args[i]
	}
	return ""
}

// bounded ends with the command's timeout.
func (r *run) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, r.cmd.Duration("timeout"))
}

// answer prints an answer, for programs or as show does.
func (r *run) answer(document any, show func(*output)) error {
	if r.out.documents() {
		return r.out.document(document)
	}
	show(r.out)
	return nil
}

// answerWith is answer for a command whose exit code tells of the answer, 0 if all is well.
func (r *run) answerWith(code int, document any, show func(*output)) error {
	if err := r.answer(document, show); err != nil || code == 0 {
		return err
	}
	return coded{code: code}
}

func exitIf(amiss bool, code int) int {
	if amiss {
		return code
	}
	return 0
}

// shareOf bounds one of several attempts that have to fit into ctx.
func shareOf(ctx context.Context, attempts int) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Until(deadline)/time.Duration(attempts))
}
