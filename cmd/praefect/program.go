package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/urfave/cli/v3"

	"praefect/cmd/terminal"
	"praefect/config"
)

// The exit codes, beside 0.
const (
	exitError       = 1
	exitUsage       = 2 // also: findings of configuration validate
	exitRemoved     = 5 // of the daemon: to start it again is of no use
	exitInterrupted = 130
)

// program is the command line: its input from the process, and nothing else of the world.
type program struct {
	version        string
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string
	// hangups are the signals at which the daemon reads its settings again, and
	// any other command ends; nil for none.
	hangups <-chan os.Signal
	// registry gets the metrics of the daemon; nil for a registry of its own.
	registry *prometheus.Registry
}

// coded is an error with an exit code of its own.
type coded struct {
	code int
	err  error // nil if everything was said
}

func (c coded) Error() string {
	if c.err == nil {
		return ""
	}
	return c.err.Error()
}

// run runs the command that args name and returns the code to exit with. The
// end of ctx asks it to end.
func (p *program) run(ctx context.Context, args []string) int {
	err := p.root().Run(ctx, args)
	if err == nil {
		return 0
	}
	code := exitError
	if c, ok := errors.AsType[coded](err); ok {
		code = c.code
	} else if ctx.Err() != nil {
		code = exitInterrupted
	}
	if text := err.Error(); text != "" {
		fmt.Fprintln(p.stderr, terminal.Text(text))
	}
	return code
}

func (p *program) root() *cli.Command {
	return &cli.Command{
		Name:            "praefect",
		Usage:           "a router, proxy and coordinator for Gitaly storages",
		UsageText:       "praefect -config FILE [COMMAND [OPTIONS]]",
		Writer:          p.stdout,
		ErrWriter:       p.stderr,
		ExitErrHandler:  func(context.Context, *cli.Command, error) {}, // run does it
		HideVersion:     true,
		HideHelpCommand: true,
		// The command completion prints the script of a shell.
		EnableShellCompletion: true,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "config", Usage: "load the settings from `FILE`"},
			&cli.BoolFlag{Name: "version", Usage: "print the version", Local: true},
		},
		Before: p.endAtHangup,
		Action: p.versionOrServe,
		Commands: []*cli.Command{
			{Name: "serve", Usage: "run the daemon; the default", Action: p.serve},
			p.acceptDataloss(),
			p.check(),
			p.claim(),
			p.configuration(),
			p.dataloss(),
			p.dialNodes(),
			p.listStorages(),
			p.metadata(),
			p.verify(),
			p.raft(),
			p.removeRepository(),
			p.sqlPing(),
			p.sqlMigrate(),
			p.sqlMigrateDown(),
			p.sqlMigrateStatus(),
			{Name: "version", Usage: "print the version", Action: p.printVersion},
		},
	}
}

// endAtHangup has commands that are not the daemon end when their terminal goes.
func (p *program) endAtHangup(ctx context.Context, cmd *cli.Command) (context.Context, error) {
	if name := cmd.Args().First(); p.hangups == nil || name == "" || name == "serve" {
		return ctx, nil
	}
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		<-p.hangups // the goroutine goes with the process
		cancel()
	}()
	return ctx, nil
}

func (p *program) versionOrServe(ctx context.Context, cmd *cli.Command) error {
	if cmd.Bool("version") {
		return p.printVersion(ctx, cmd)
	}
	return p.serve(ctx, cmd)
}

func (p *program) printVersion(_ context.Context, cmd *cli.Command) error {
	if err := noArguments(cmd); err != nil {
		return err
	}
	return p.println("Praefect, version " + p.version)
}

// groupHelp ends a command line that names a group of commands, and none of them.
func groupHelp(_ context.Context, cmd *cli.Command) error {
	if name := cmd.Args().First(); name != "" {
		return coded{exitUsage, fmt.Errorf("there is no command %q; see %s -help", name, cmd.FullName())}
	}
	if err := cli.ShowSubcommandHelp(cmd); err != nil {
		return fmt.Errorf("print the help: %w", err)
	}
	return coded{code: exitUsage}
}

// noArguments refuses positional arguments, which no command takes.
func noArguments(cmd *cli.Command) error {
	if cmd.Args().Present() {
		return fmt.Errorf("%s doesn't accept positional arguments", cmd.Name)
	}
	return nil
}

// load reads the settings that a sub-command works with, which takes no
// arguments.
func (p *program) load(ctx context.Context, cmd *cli.Command) (*config.Config, error) {
	if err := noArguments(cmd); err != nil {
		return nil, err
	}
	return p.settings(ctx, cmd)
}

// withSettings is the action of a command that takes no arguments, and works with the settings.
func (p *program) withSettings(do func(context.Context, *cli.Command, *config.Config) error) cli.ActionFunc {
	return func(ctx context.Context, cmd *cli.Command) error {
		cfg, err := p.load(ctx, cmd)
		if err != nil {
			return err
		}
		return do(ctx, cmd, cfg)
	}
}

func (p *program) settings(ctx context.Context, cmd *cli.Command) (*config.Config, error) {
	path := cmd.String("config")
	if path == "" {
		return nil, fmt.Errorf("no settings: write praefect -config FILE %s", cmd.Name)
	}
	return config.Load(ctx, path, p.getenv)
}

// log is the logger of sub-commands: errors only, for people.
func (p *program) log() *slog.Logger {
	return slog.New(slog.NewTextHandler(p.stderr, &slog.HandlerOptions{Level: slog.LevelError}))
}

func (p *program) println(line string) error { return p.print(line + "\n") }

// print prints a text, of which parts may be another's choice: of a client, or of a storage.
func (p *program) print(text string) error {
	if _, err := io.WriteString(p.stdout, terminal.Text(text)); err != nil {
		return fmt.Errorf("write to standard output: %w", err)
	}
	return nil
}
