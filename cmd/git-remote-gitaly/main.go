// Command git-remote-gitaly lets plain git speak to a server of Gitaly's API, a storage or a
// Praefect in front of several: git runs it for every URL of the form
// gitaly://HOST[:PORT]/VIRTUAL-STORAGE/PATH.git (gitalys:// for TLS). It promises to hold no more
// than a few chunks of the data in memory, and to fail with a reason on stderr and a status other
// than 0. git calls it; people call its command create.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/urfave/cli/v3"

	"praefect/cmd/terminal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	p := program{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv, terminal: openTerminal}
	if err := p.run(ctx, os.Args); err != nil {
		fmt.Fprintln(os.Stderr, "gitaly:", terminal.Text(err.Error()))
		stop()
		os.Exit(1)
	}
}

// program is one run of the command, with the files and variables of its process.
type program struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string
	// terminal opens the terminal of the user; nil if there is none.
	terminal func() (io.ReadWriteCloser, error)
}

const description = `git runs this program by itself for URLs like

   gitaly://praefect.example.org:2305/default/group/project.git

once it is on the PATH. For gitalys:// (TLS) git looks for the program under the
name git-remote-gitalys: make a link, or write gitaly::gitalys://HOST/... Without
a port 2305 is meant, or 3305 for TLS. A remote must not be called "create".

The secret is used at another host, or without encryption beyond this machine, only
after a question at the terminal.

Environment:
   GITALY_TOKEN, GITALY_TOKEN_FILE   the server's secret, or a file that holds it
   GITALY_TOKEN_HOST                 the hosts that the secret is for, with commas
                                     between (host or host:port); unset: this machine
   GITALY_TOKEN_PLAIN                "yes": use it also without encryption
   GITALY_DEADLINE                   how long an operation may take, as 30s or 5m
   SSL_CERT_FILE, SSL_CERT_DIR       whom to trust for gitalys://
   GIT_PROTOCOL                      the protocol to fetch with (version=2)`

// run interprets the command line. Stdout belongs to the conversation with
// git, so all that is for people goes to stderr.
func (p *program) run(ctx context.Context, args []string) error {
	command := &cli.Command{
		Name:            "git-remote-gitaly",
		Usage:           "git remote helper for servers of Gitaly's API",
		UsageText:       "git-remote-gitaly REMOTE URL (by git)\ngit-remote-gitaly create URL",
		Description:     description,
		Writer:          p.stderr,
		ErrWriter:       p.stderr,
		HideHelpCommand: true,
		Action: func(ctx context.Context, c *cli.Command) error {
			if c.NArg() != 2 {
				return errors.New("git runs this with a remote and a URL; see --help")
			}
			return p.withTarget(ctx, c.Args().Get(1), p.converse)
		},
		Commands: []*cli.Command{{
			Name:      "create",
			Usage:     "make an empty repository at URL",
			ArgsUsage: "URL",
			Action: func(ctx context.Context, c *cli.Command) error {
				if c.NArg() != 1 {
					return errors.New("create needs exactly one URL")
				}
				return p.withTarget(ctx, c.Args().First(), p.create)
			},
		}},
	}
	return command.Run(ctx, args)
}
