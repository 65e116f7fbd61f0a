package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/urfave/cli/v3"
	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc"

	"praefect/config"
	"praefect/proxy/check"
	"praefect/replicator/postgres"
)

func (p *program) check() *cli.Command {
	return &cli.Command{
		Name:  "check",
		Usage: "check what an instance with the settings needs",
		Description: "The exit code is 1 if a check failed that is fatal. Postgres is not: without it only\n" +
			"repair waits. Which repositories are unavailable the running instance is asked.",
		Flags: []cli.Flag{&cli.BoolFlag{Name: "q", Usage: "one line a check"}},
		Action: p.withSettings(func(ctx context.Context, cmd *cli.Command, cfg *config.Config) error {
			return p.withOpened(cfg, func(db *postgres.DB) error {
				return p.report(check.Run(ctx, checksBeside(cfg, db), check.DefaultTimeout), cmd.Bool("q"))
			})
		}),
	}
}

// checksBeside are the checks of an instance for a process beside it, which asks it how
// many repositories are unavailable.
func checksBeside(cfg *config.Config, db *postgres.DB) []check.Check {
	return append(append(checks(func() *config.Config { return cfg }, db, nil), checksOfConditions(cfg)...), check.Unavailable(func(ctx context.Context) (n int, err error) {
		err = dialInstance(ctx, cfg, func(cc *grpc.ClientConn) error {
			for _, vs := range cfg.VirtualStorages {
				err := eachLoss(ctx, gitalypb.NewPraefectInfoServiceClient(cc), &gitalypb.DatalossRequest{VirtualStorage: vs.Name},
					func(*gitalypb.DatalossResponse_Repository) error { n++; return nil })
				if err != nil {
					return err
				}
			}
			return nil
		})
		return n, err
	}))
}

// report prints the results of checks in upstream's form.
func (p *program) report(results []check.Result, quiet bool) error {
	failed := 0
	for _, r := range results {
		outcome := "Passed"
		if r.Err != nil {
			failed++
			outcome = fmt.Sprintf("Failed (%s) error: %v", r.Severity, r.Err)
		}
		line := fmt.Sprintf("Checking %s - %s [%s]\n%s", r.Name, r.Description, r.Severity, outcome)
		if quiet {
			line = fmt.Sprintf("Checking %s... %s", r.Name, outcome)
		}
		if err := p.println(line); err != nil {
			return err
		}
	}
	switch {
	case failed == 0:
		return p.println("All checks passed.")
	case check.Ready(results):
		return p.println(fmt.Sprintf("%d check(s) failed, but none are fatal.", failed))
	}
	if err := p.println(fmt.Sprintf("%d check(s) failed, at least one was fatal.", failed)); err != nil {
		return err
	}
	return errors.New("checks failed")
}
