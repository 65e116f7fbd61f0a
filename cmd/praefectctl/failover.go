package main

import (
	"cmp"
	"context"
	"strings"

	"github.com/urfave/cli/v3"

	"praefect/proxy/admin"
)

func (p *program) undrain() *cli.Command {
	return &cli.Command{
		Name:        "undrain",
		Usage:       "let a drained storage return",
		ArgsUsage:   "STORAGE",
		Description: "It serves again by itself once it has been healthy for a while; then what it\nmisses is copied.",
		Flags: planFlags(
			&cli.StringFlag{Name: "virtual-storage", Usage: "the virtual storage's `NAME`, if more than one has such a storage"}),
		Action: p.action([]string{"STORAGE"}, func(ctx context.Context, r *run) error {
			request := admin.UndrainRequest{Change: r.change(), VirtualStorage: r.cmd.String("virtual-storage"), Storage: r.args[0]}
			return inOneStep(ctx, r, request.RequestID, call((*admin.Client).Undrain, request),
				func() (simplePlan, error) { return r.planUndrain(ctx, request) },
				func(done admin.Done) error { return r.done(done, done, "%s may return", request.Storage) })
		}),
	}
}

func (p *program) pause() *cli.Command {
	return &cli.Command{
		Name:  "pause",
		Usage: "switch automatic failover off",
		Description: "While it is off no storage is replaced because it is dead; promote, drain and\n" +
			"everything else work on.",
		Flags: planFlags(virtualStorageFlag(),
			&cli.DurationFlag{Name: "for", Usage: "switch it on again after this `TIME`; default: not before resume"}),
		Action: p.action(nil, func(ctx context.Context, r *run) error {
			if r.cmd.IsSet("for") && r.cmd.Duration("for") <= 0 {
				return usage("-for is %v: want more than 0", r.cmd.Duration("for"))
			}
			request := admin.PauseRequest{
				Change: r.change(), VirtualStorage: r.cmd.String("virtual-storage"), ForMillis: r.cmd.Duration("for").Milliseconds(),
			}
			does := "is switched off until resume"
			if request.ForMillis > 0 {
				does = "is switched off for " + request.For().String()
			}
			return inOneStep(ctx, r, request.RequestID, call((*admin.Client).Pause, request),
				func() (simplePlan, error) { return r.planPause(ctx, request.VirtualStorage, does) },
				func(answer admin.PauseResponse) error {
					until := cmp.Or(timeText(answer.Until), "resume")
					return r.done(answer.Done, answer, "automatic failover of %s is paused until %s", strings.Join(answer.VirtualStorages, ", "), until)
				})
		}),
	}
}

func (p *program) resume() *cli.Command {
	return &cli.Command{
		Name:  "resume",
		Usage: "switch automatic failover on",
		Flags: planFlags(virtualStorageFlag()),
		Action: p.action(nil, func(ctx context.Context, r *run) error {
			request := admin.ResumeRequest{Change: r.change(), VirtualStorage: r.cmd.String("virtual-storage")}
			return inOneStep(ctx, r, request.RequestID, call((*admin.Client).Resume, request),
				func() (simplePlan, error) { return r.planPause(ctx, request.VirtualStorage, "is switched on") },
				func(answer admin.PauseResponse) error {
					return r.done(answer.Done, answer, "automatic failover of %s is on", strings.Join(answer.VirtualStorages, ", "))
				})
		}),
	}
}
