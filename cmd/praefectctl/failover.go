package main

import (
	"context"
	"strings"
	"time"

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
			if goOn, err := r.agreed(ctx, func(ctx context.Context) (simplePlan, error) { return r.planUndrain(ctx, request) }); err != nil || !goOn {
				return err
			}
			done, err := once(ctx, r, request.RequestID, func(ctx context.Context, c *admin.Client) (admin.Done, error) {
				return c.Undrain(ctx, request)
			})
			if err != nil {
				return err
			}
			return r.done(done, done, "%s may return", request.Storage)
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
			if goOn, err := r.agreed(ctx, func(ctx context.Context) (simplePlan, error) { return r.planPause(ctx, request.VirtualStorage, does) }); err != nil || !goOn {
				return err
			}
			answer, err := once(ctx, r, request.RequestID, func(ctx context.Context, c *admin.Client) (admin.PauseResponse, error) {
				return c.Pause(ctx, request)
			})
			if err != nil {
				return err
			}
			until := "until resume"
			if answer.Until != nil {
				until = "until " + answer.Until.UTC().Format(time.RFC3339)
			}
			return r.done(answer.Done, answer, "automatic failover of %s is paused %s", strings.Join(answer.VirtualStorages, ", "), until)
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
			if goOn, err := r.agreed(ctx, func(ctx context.Context) (simplePlan, error) {
				return r.planPause(ctx, request.VirtualStorage, "is switched on")
			}); err != nil || !goOn {
				return err
			}
			answer, err := once(ctx, r, request.RequestID, func(ctx context.Context, c *admin.Client) (admin.PauseResponse, error) {
				return c.Resume(ctx, request)
			})
			if err != nil {
				return err
			}
			return r.done(answer.Done, answer, "automatic failover of %s is on", strings.Join(answer.VirtualStorages, ", "))
		}),
	}
}
