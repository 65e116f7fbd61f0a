// Command test-gitaly serves directories of bare git repositories as Gitaly does. It owns only its
// command line; package test/gitaly is the server. It promises to print one line, the address that
// clients dial, once it listens, and to let running calls end for a bounded time on SIGTERM. How
// its votes and its disk go wrong for tests can be changed while it runs: the file +faults.json in
// a storage's directory, as package test/gitaly describes it, is read for each vote and each git.
// Tests, the demo and curious operators may call it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v3"

	"praefect/test/gitaly"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := command(os.Stdout, os.Stderr).Run(ctx, os.Args); err != nil {
		fmt.Fprintln(os.Stderr, "test-gitaly:", err)
		stop()
		os.Exit(1)
	}
}

// command returns the command line; the address goes to stdout, logs to stderr.
func command(stdout, stderr io.Writer) *cli.Command {
	return &cli.Command{
		Name:            "test-gitaly",
		Usage:           "serve directories of git repositories as Gitaly does",
		HideHelpCommand: true,
		// A directory may have a comma in its name.
		DisableSliceFlagSeparator: true,
		Writer:                    stdout,
		ErrWriter:                 stderr,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "listen", Usage: "address, tcp://`HOST:PORT` or unix:PATH", Value: "tcp://127.0.0.1:0"},
			&cli.StringSliceFlag{Name: "storage", Usage: "`NAME=DIR` of a storage, at least one; repeat for more"},
			&cli.StringFlag{Name: "token-file", Usage: "`FILE` with the token that clients must know; none: no check"},
			&cli.DurationFlag{Name: "grace", Usage: "how long calls may run on after SIGTERM", Value: gitaly.DefaultGrace},
			&cli.StringFlag{Name: "release", Usage: "`VERSION` of Gitaly to be one of: new repositories and pushes are hashed as no other release does"},
			&cli.StringFlag{Name: "git", Usage: "git `PROGRAM`", Value: "git"},
			&cli.BoolFlag{Name: "no-backchannel", Usage: "be one that cannot be multiplexed: no votes, no sidechannels"},
			&cli.StringFlag{Name: "vote-fault", Usage: "`WHAT` goes wrong with votes: differ, never, late=DURATION or refuse; with @prepared, @committed or @synchronized after it only in that phase"},
			&cli.StringFlag{Name: "stop-at", Usage: "`STEP` at which to kill itself: before-prepared, after-prepared, before-committed or after-committed"},
			&cli.StringFlag{Name: "fault-prefix", Usage: "`PATH` with which relative paths begin that -vote-fault and -stop-at are about; none: all"},
			&cli.BoolFlag{Name: "debug", Usage: "log every call"},
		},
		Commands: []*cli.Command{{
			Name: "gitlab", Usage: "be a GitLab that allows every push, for the hooks of a real Gitaly", ArgsUsage: "SOCKET", HideHelpCommand: true,
			Action: func(ctx context.Context, c *cli.Command) error {
				if c.Args().Len() != 1 {
					return errors.New("gitlab wants the path of a socket, and nothing else")
				}
				return serveGitlab(ctx, c.Args().First())
			},
		}},
		Action: func(ctx context.Context, c *cli.Command) error {
			if c.Args().Present() {
				return fmt.Errorf("unexpected argument %q", c.Args().First())
			}
			return serve(ctx, c, stdout, stderr)
		},
	}
}

func serve(ctx context.Context, c *cli.Command, stdout, stderr io.Writer) error {
	config, err := config(c)
	if err != nil {
		return err
	}
	level := slog.LevelInfo
	if c.Bool("debug") {
		level = slog.LevelDebug
	}
	config.Logger = slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level}))
	server, err := gitaly.New(config)
	if err != nil {
		return err
	}
	lis, address, err := gitaly.Listen(ctx, c.String("listen"))
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(stdout, address); err != nil {
		return errors.Join(fmt.Errorf("print address: %w", err), lis.Close())
	}
	config.Logger.Info("serving", "address", address, "storages", len(config.Storages))
	start := time.Now()
	err = server.Run(ctx, lis)
	config.Logger.Info("stopped", "uptime", time.Since(start))
	return err
}

// config turns flags into the server's configuration.
func config(c *cli.Command) (gitaly.Config, error) {
	config := gitaly.Config{
		Storages: make(map[string]string), Grace: c.Duration("grace"), Git: c.String("git"),
		NoBackchannel: c.Bool("no-backchannel"), Release: c.String("release"),
	}
	fault := gitaly.Fault{Prefix: c.String("fault-prefix"), Vote: c.String("vote-fault"), StopAt: c.String("stop-at")}
	switch {
	case fault.Vote != "" || fault.StopAt != "":
		config.Faults = append(config.Faults, fault)
	case fault.Prefix != "":
		return config, errors.New("-fault-prefix is given without -vote-fault or -stop-at")
	}
	if len(c.StringSlice("storage")) == 0 {
		return config, errors.New("no -storage is given")
	}
	for _, pair := range c.StringSlice("storage") {
		name, dir, ok := strings.Cut(pair, "=")
		if !ok {
			return config, fmt.Errorf("storage %q is not NAME=DIR", pair)
		}
		if _, twice := config.Storages[name]; twice {
			return config, fmt.Errorf("storage %q is given twice", name)
		}
		config.Storages[name] = dir
	}
	if file := c.String("token-file"); file != "" {
		raw, err := os.ReadFile(file)
		if err != nil {
			return config, fmt.Errorf("read token: %w", err)
		}
		if config.Token = strings.TrimSpace(string(raw)); config.Token == "" {
			return config, fmt.Errorf("token file %q is empty", file)
		}
	}
	return config, nil
}
