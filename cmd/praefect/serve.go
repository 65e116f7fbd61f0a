package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/urfave/cli/v3"

	"praefect/config"
	"praefect/consensus/membership"
	"praefect/proxy/method"
)

// serve runs the daemon until ctx ends, or a part of it does.
func (p *program) serve(ctx context.Context, cmd *cli.Command) error {
	if cmd.String("config") == "" {
		if err := cli.ShowAppHelp(cmd.Root()); err != nil {
			return fmt.Errorf("print the help: %w", err)
		}
		return coded{code: exitUsage}
	}
	cfg, err := p.load(ctx, cmd)
	if errors.Is(err, config.ErrNoSettings) {
		return coded{exitUsage, err} // the unit does not start it again
	}
	if err != nil {
		return err
	}
	level := &slog.LevelVar{}
	level.Set(cfg.Logging.SlogLevel())
	log := newLogger(p.stdout, cfg.Logging, level, cfg.Raft.Name)
	log.Info("starting praefect", "version", p.version)
	for _, i := range cfg.Ignored {
		log.Warn("a setting has no effect", "key", i.Key, "line", i.Line, "why", i.Why)
	}
	for _, w := range cfg.Warnings {
		log.Warn("a setting is doubtful", "key", w.Key, "line", w.Line, "why", w.Text)
	}
	for _, w := range cfg.Exposed(cmd.String("config")) {
		log.Warn("the instance is open to strangers", "key", w.Key, "why", w.Text)
	}
	d := &daemon{
		cfg: cfg, log: log, version: p.version, failpoint: failpoints(p.getenv),
		level: level, hangups: p.hangups, tell: notifier(p.getenv, log), processors: newProcessors(p.getenv), registry: p.registry,
		reload: func(ctx context.Context) (*config.Config, error) { return p.settings(ctx, cmd) },
	}
	if d.registry == nil {
		d.registry = prometheus.NewRegistry()
	}
	if d.methods, err = method.Open(cfg.MethodDescriptors...); err != nil {
		log.Error("praefect does not start", "key", "method_descriptors", "err", err)
		return coded{code: exitError}
	}
	if err := d.run(ctx); err != nil {
		log.Error("praefect ends", "err", err)
		if errors.Is(err, membership.ErrRemoved) {
			return coded{code: exitRemoved}
		}
		return coded{code: exitError}
	}
	log.Info("praefect ends")
	return nil
}
