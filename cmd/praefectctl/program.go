package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/urfave/cli/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/cmd/terminal"
	"praefect/proxy/admin"
)

// The exit codes, beside 0. description tells people their meaning.
const (
	exitError       = 1
	exitUsage       = 2
	exitDegraded    = 3
	exitUnavailable = 4
	exitRefused     = 5
	exitUnknown     = 6
	exitTimeout     = 7
	exitInterrupted = 130
)

const description = `Where to ask, in this order: -endpoints, -config, -context, PRAEFECT_CONTEXT,
PRAEFECT_ENDPOINTS, the current context (praefectctl context use). The instances are asked one after the other until one answers; any of them will do,
it passes on to the leader what only the leader can do.

Changes need the admin token, as -admin-token-file, PRAEFECT_ADMIN_TOKEN_FILE or in
the settings given by -config. An instance without one takes changes on its Unix
socket, and from who can read its data directory (raft.data_dir in the settings).

Exit codes:
  0  done; status, raft status: everything is healthy
  1  error
  2  the command line is wrong
  3  status: degraded, a storage is away, slow or not serving;
     raft status: degraded, an instance is away or has no lease;
     verify: a replica differs or could not be asked;
     dataloss diff: the replicas differ
  4  no instance answers, or none leads; status: a virtual storage cannot be
     written or a repository cannot be read; dataloss, explain: a repository
     cannot be read; queue: Postgres is away
  5  refused by a safety check; nothing was changed; can-i: no
  6  the outcome is unknown: repeat the command with the -request-id that it names
  7  it took longer than -timeout; nothing was changed
  130  interrupted; nothing was changed`

// program is the command line: its input from the process, and nothing else of the world.
type program struct {
	version        string
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string
	hostname       func() (string, error)
	// terminal tells that stdout is one, interactive that a person at one can be asked: stdin and
	// stderr are.
	terminal, interactive bool
	// account is the name of the user that runs the process, where the environment
	// does not name one.
	account func() string
	// size is that of the terminal; zeroes for one that does not tell.
	size func() (width, height int)
	// newID makes the id of a request.
	newID func() string
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

func (c coded) Unwrap() error { return c.err }

func usage(format string, args ...any) error { return coded{exitUsage, fmt.Errorf(format, args...)} }

// run runs the command that args name and returns the code to exit with.
func (p *program) run(ctx context.Context, args []string) int {
	err := p.root().Run(ctx, args)
	if err == nil {
		return 0
	}
	if text := err.Error(); text != "" {
		fmt.Fprintln(p.stderr, "praefectctl: "+terminal.Text(text))
	}
	return exitCode(ctx, err)
}

// exitCode is the code for an error.
func exitCode(ctx context.Context, err error) int {
	if c, ok := errors.AsType[coded](err); ok {
		return c.code
	}
	switch admin.KindOf(err) {
	case admin.Invalid:
		return exitUsage
	case admin.Refused:
		return exitRefused
	case admin.OutcomeUnknown:
		return exitUnknown
	case admin.NotReached:
		return exitUnavailable
	}
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return exitInterrupted
	case errors.Is(err, context.DeadlineExceeded), status.Code(err) == codes.DeadlineExceeded:
		return exitTimeout
	case status.Code(err) == codes.Unavailable:
		return exitUnavailable
	}
	return exitError
}

func (p *program) root() *cli.Command {
	root := &cli.Command{
		Name:            "praefectctl",
		Usage:           "ask a running praefect how the cluster is, and change it",
		UsageText:       "praefectctl [OPTIONS] COMMAND [OPTIONS]",
		Description:     description,
		Writer:          p.stdout,
		ErrWriter:       p.stderr,
		ExitErrHandler:  func(context.Context, *cli.Command, error) {}, // run does it
		HideVersion:     true,
		HideHelpCommand: true,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "config", Usage: "take address and tokens from praefect's settings in `FILE`"},
			&cli.StringFlag{Name: "endpoints", Usage: "ask the instances at these `ADDRESSES` (host:port, tls://…, unix:…), with commas between"},
			&cli.StringFlag{Name: "token-file", Usage: "take the token from `FILE`; default $PRAEFECT_TOKEN_FILE"},
			&cli.StringFlag{Name: "admin-token-file", Usage: "take the admin token from `FILE`; default $PRAEFECT_ADMIN_TOKEN_FILE"},
			&cli.StringFlag{Name: "context", Usage: "ask the cluster that is kept as `NAME`; default $PRAEFECT_CONTEXT, else the current one"},
			&cli.StringFlag{Name: "ca-file", Usage: "trust the certificates in `FILE` at tls:// addresses; default $PRAEFECT_CA_FILE, else the system's"},
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Value: "table", Usage: "print a `table`, wide, json or yaml"},
			&cli.DurationFlag{Name: "timeout", Value: 10 * time.Second, Usage: "give up after this `TIME`; for promote and drain 5m unless given"},
			&cli.BoolFlag{Name: "no-color", Usage: "print no colours; so does NO_COLOR in the environment"},
			&cli.BoolFlag{Name: "version", Usage: "print the version", Local: true},
		},
		Action: p.versionOrHelp,
		Commands: []*cli.Command{
			p.status(), p.explain(),
			group("raft", "the instances and their part in Raft", p.raftStatus(), p.raftPeers(), p.raftAdd(), p.raftRemove(), p.raftRetire(), p.raftTransfer(),
				group("snapshot", "save the replicated state, and look at what was saved", p.snapshotSave(), p.snapshotInspect())),
			p.promote(), p.drain(), p.undrain(), p.refill(),
			p.pause(), p.resume(),
			group("storage", "the storages of a virtual storage", p.storageRemove()),
			group("virtual-storage", "the virtual storages", p.virtualStorageRemove()),
			p.history(), p.events(),
			group("can-i", "whether something may be done now", p.canReboot()),
			group("repository", "the repositories", p.repositoryList()),
			group("debug", "what helps to find a fault", p.debugBundle()),
			p.top(), p.completion(), p.complete(), p.names(),
			p.dataloss(), p.acceptDataloss(), p.verify(), p.reconcile(),
			group("queue", "the replication queue", p.queueList(), p.queueRetry(), p.queueDrop()),
			p.tls(),
			group("context", "the clusters that this tool knows", p.contextList(), p.contextUse(), p.contextSet()),
		},
	}
	onUsageError(root)
	return root
}

func group(name, about string, commands ...*cli.Command) *cli.Command {
	return &cli.Command{Name: name, Usage: about, Action: helpIsMissing, Commands: commands}
}

// onUsageError gives a wrong command line its exit code, everywhere.
func onUsageError(cmd *cli.Command) {
	cmd.OnUsageError = func(_ context.Context, _ *cli.Command, err error, _ bool) error { return coded{exitUsage, err} }
	for _, sub := range cmd.Commands {
		onUsageError(sub)
	}
}

func (p *program) versionOrHelp(ctx context.Context, cmd *cli.Command) error {
	if !cmd.Bool("version") {
		return helpIsMissing(ctx, cmd)
	}
	_, err := fmt.Fprintln(p.stdout, "praefectctl, version "+p.version)
	return err
}

// helpIsMissing ends a command line that names no command, or one that is not
// known.
func helpIsMissing(_ context.Context, cmd *cli.Command) error {
	if name := cmd.Args().First(); name != "" {
		return usage("there is no command %q; see %s -help", name, cmd.FullName())
	}
	if err := cli.ShowSubcommandHelp(cmd); err != nil {
		return fmt.Errorf("print the help: %w", err)
	}
	return coded{code: exitUsage}
}
