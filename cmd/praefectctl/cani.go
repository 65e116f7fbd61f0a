package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/urfave/cli/v3"

	"praefect/proxy/admin"
	"praefect/proxy/admin/reboot"
)

func (p *program) canReboot() *cli.Command {
	return &cli.Command{
		Name:      "reboot",
		Usage:     "tell whether the machine of a storage or an instance may be rebooted now",
		ArgsUsage: "STORAGE|INSTANCE",
		Description: "It changes nothing. The exit code is 0 for yes, 5 for no, 4 if that cannot be told now,\n" +
			"1 if there is no such storage or instance. deploy/ansible has a playbook that asks.",
		Flags: []cli.Flag{&cli.StringFlag{Name: "virtual-storage", Usage: "only as a part of this virtual storage: `NAME`"}},
		Action: p.action([]string{"STORAGE|INSTANCE"}, func(ctx context.Context, r *run) error {
			answer, err := r.mayReboot(ctx, r.args[0], r.cmd.String("virtual-storage"))
			if err != nil {
				return err
			}
			return r.answerWith(exitIf(!answer.Allowed, exitRefused), answer, func(out *output) { showReboot(out, answer) })
		}),
	}
}

// mayReboot asks for the facts and judges them.
func (r *run) mayReboot(ctx context.Context, name, virtualStorage string) (reboot.Answer, error) {
	status, err := r.statusNow(ctx, virtualStorage)
	if err != nil {
		return reboot.Answer{}, err
	}
	raft, err := r.raftNow(ctx)
	if err != nil {
		return reboot.Answer{}, err
	}
	var in []string
	for _, vs := range status.VirtualStorages {
		if slices.ContainsFunc(vs.Storages, func(st admin.Storage) bool { return st.Name == name }) {
			in = append(in, vs.Name)
		}
	}
	isInstance := slices.ContainsFunc(raft.Instances, func(i admin.Instance) bool { return i.Name == name })
	switch {
	case len(in) > 0 && isInstance:
		return reboot.Answer{}, coded{exitError, fmt.Errorf("%q is a storage and an instance: rename one of them", name)}
	case isInstance:
		return reboot.OfInstance(name, raft), nil
	case len(in) == 0:
		return reboot.Answer{}, coded{exitError, fmt.Errorf("there is no storage and no instance %q; praefectctl status and praefectctl raft peers list them", name)}
	}
	impacts, err := inTime(ctx, r, func(ctx context.Context, c *admin.Client) (list []admin.ImpactResponse, err error) {
		for _, vs := range in {
			impact, err := c.Impact(ctx, admin.ImpactRequest{VirtualStorage: vs, Storage: name})
			if err != nil {
				return nil, err
			}
			list = append(list, impact)
		}
		return list, nil
	})
	if err != nil {
		return reboot.Answer{}, errors.Join(errors.New("it cannot be told what would be missing"), err)
	}
	return reboot.OfStorage(name, raft.Leader != "" && !raft.OwnView, impacts), nil
}

func showReboot(out *output, a reboot.Answer) {
	word, s := "yes", good
	switch {
	case !a.Allowed:
		word, s = "no", bad
	case len(a.Short) > 0:
		s = warning
	}
	out.printf("%s %s: the machine of %s %s\n", out.mark(s), word, a.Kind, a.Name)
	for _, why := range a.Why {
		out.printf("  %s\n", why)
	}
	for _, short := range a.Short {
		out.printf("  %s %s\n", out.mark(warning), short)
	}
	for _, command := range a.Before {
		out.printf("  before: %s\n", command)
	}
	for _, command := range a.After {
		out.printf("  after:  %s\n", command)
	}
}
