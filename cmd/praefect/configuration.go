package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/urfave/cli/v3"

	"praefect/cmd/terminal"
	"praefect/config"
	"praefect/proxy/method"
)

func (p *program) configuration() *cli.Command {
	return &cli.Command{
		Name:  "configuration",
		Usage: "work with settings",
		Commands: []*cli.Command{{
			Name:  "validate",
			Usage: "judge the settings on standard input",
			Description: "Prints what is wrong with them as JSON, and nothing if nothing is. Warnings go to\n" +
				"standard error and leave the exit code as it is.\n" +
				"Exit code: 0 valid, 2 not valid or no TOML, 1 another error.",
			Action: p.validate,
		}, p.configurationInit()},
	}
}

// validate keeps to upstream's form, because scripts read it.
func (p *program) validate(ctx context.Context, cmd *cli.Command) error {
	if cmd.Args().Present() {
		return errors.New("invalid argument(s)")
	}
	cfg, err := config.Read(ctx, p.stdin, p.getenv)
	if err == nil {
		for _, w := range cfg.Warnings {
			if _, err := fmt.Fprintln(p.stderr, "warning:", terminal.Text(fmt.Sprint(w))); err != nil {
				return fmt.Errorf("write to standard error: %w", err)
			}
		}
		if _, err := method.Open(cfg.MethodDescriptors...); err != nil {
			return p.printFaults(config.Faults{{Key: []string{"method_descriptors"}, Message: err.Error()}})
		}
		return nil
	}
	if syntax, ok := errors.AsType[*config.SyntaxError](err); ok {
		return coded{exitUsage, syntax}
	}
	faults, ok := errors.AsType[config.Faults](err)
	if !ok {
		return err
	}
	return p.printFaults(faults)
}

// printFaults prints what is wrong with the settings.
func (p *program) printFaults(faults config.Faults) error {
	text, err := json.MarshalIndent(faults.Report(), "", "  ")
	if err != nil {
		return fmt.Errorf("encode the findings: %w", err)
	}
	if err := p.println(string(text)); err != nil {
		return err
	}
	return coded{code: exitUsage}
}
