package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v3"

	"praefect/cmd/terminal"
	"praefect/proxy/admin"
)

func (p *program) acceptDataloss() *cli.Command {
	return &cli.Command{
		Name:  "accept-dataloss",
		Usage: "declare one storage's replica of a repository the right one",
		Description: "What only the other storages have of the repository is given up for ever. So the\n" +
			"name of the storage has to be typed once more: when asked, on standard input, or\n" +
			"by -confirm; -yes is not enough. With -file it is asked once for all, for the number of\n" +
			"repositories. Every acceptance is recorded: praefectctl dataloss accepted.",
		Flags: changeFlags(
			&cli.StringFlag{Name: "virtual-storage", Usage: "the repository's virtual storage: `NAME`"},
			&cli.StringFlag{Name: "repository", Usage: "the repository's relative `PATH`"},
			&cli.StringFlag{Name: "authoritative-storage", Usage: "the `STORAGE` whose replica is right"},
			&cli.StringFlag{Name: "file", Usage: "accept the losses that this `FILE` lists: VIRTUAL-STORAGE REPOSITORY STORAGE, one a line"},
			&cli.StringFlag{Name: "confirm", Usage: "the name of the `STORAGE` once more; with -file the number of repositories"},
			dryRunFlag(), yesFlag(),
		),
		Action: p.action(nil, func(ctx context.Context, r *run) error {
			one := []string{"virtual-storage", "repository", "authoritative-storage"}
			if file := r.cmd.String("file"); file != "" {
				for _, name := range append(one, "request-id") {
					if r.cmd.IsSet(name) {
						return usage("accept-dataloss: -file and -%s say two things", name)
					}
				}
				return r.acceptMany(ctx, file)
			}
			for _, name := range one {
				if r.cmd.String(name) == "" {
					return usage("accept-dataloss: -%s is missing", name)
				}
			}
			return r.acceptLoss(ctx)
		}),
	}
}

func (r *run) acceptLoss(ctx context.Context) error {
	request := admin.AcceptLossRequest{
		Change: r.change(), VirtualStorage: r.cmd.String("virtual-storage"), RelativePath: r.cmd.String("repository"),
		Storage: r.cmd.String("authoritative-storage"),
	}
	lost, err := r.lossOf(ctx, request)
	if err != nil {
		return err
	}
	if r.cmd.Bool("dry-run") {
		return r.answer(lost, func(out *output) { showLoss(out, request, lost) })
	}
	showLoss(r.aside(), request, lost)
	if err := r.confirm(ctx, request.Storage); err != nil {
		return err
	}
	done, err := once(ctx, r, request.RequestID, call((*admin.Client).AcceptLoss, request))
	if err != nil {
		return err
	}
	return r.done(done, done, "%s has the right replica of %s; the others are repaired from it", request.Storage, request.RelativePath)
}

// lossOf asks for the present losses of the repository.
func (r *run) lossOf(ctx context.Context, request admin.AcceptLossRequest) (admin.Repository, error) {
	about := admin.DatalossRequest{VirtualStorage: request.VirtualStorage, RelativePath: request.RelativePath}
	answer, err := inTime(ctx, r, call((*admin.Client).Dataloss, about))
	switch {
	case err != nil:
		return admin.Repository{}, err
	case len(answer.Repositories) == 0:
		return admin.Repository{}, coded{exitRefused, fmt.Errorf("nothing is lost of %q: no storage misses a write; nothing was changed", request.RelativePath)}
	}
	return answer.Repositories[0], nil
}

func showLoss(out *output, request admin.AcceptLossRequest, lost admin.Repository) {
	out.printf("%s in %s: available %s, behind: %s\n", lost.RelativePath, lost.VirtualStorage, yesNo(lost.Available), strings.Join(lost.Behind, ", "))
	if slices.Contains(lost.Behind, request.Storage) {
		out.printf("  %s misses acknowledged writes: THEY ARE LOST\n", request.Storage)
	}
	if lost.Available && len(lost.Conflicts) == 0 { // no repair ends a conflict
		out.printf("  a storage that serves has every acknowledged write: repair does this without loss\n")
	}
	showConflicts(out, lost)
	out.printf("  what the other storages have more than %s is given up\n", request.Storage)
}

// confirm makes sure that data is lost on purpose: the name has to come twice.
func (r *run) confirm(ctx context.Context, name string) error {
	return r.confirmAs(ctx, "Type the storage's name to go on: ", name)
}

// confirmAs asks for a word. -yes is not enough: it is typed without a thought.
func (r *run) confirmAs(ctx context.Context, question, word string) error {
	typed := r.cmd.String("confirm")
	switch {
	case r.cmd.IsSet("confirm"):
	case r.cmd.Bool("yes"):
		return usage("-yes is not enough for what cannot be undone: give -confirm %s; nothing was changed", word)
	default:
		fmt.Fprint(r.stderr, question)
		var err error
		if typed, err = terminal.ReadLine(ctx, r.stdin); err != nil {
			return err
		}
		if !r.interactive {
			fmt.Fprintln(r.stderr)
		}
	}
	if typed != word {
		return coded{exitRefused, errors.New("not confirmed: nothing was changed")}
	}
	return nil
}
