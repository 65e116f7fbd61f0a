package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/urfave/cli/v3"

	"praefect/cmd/terminal"
	"praefect/fsm/state"
	"praefect/proxy/admin"
)

const (
	// verifyTimeout bounds the verification of one repository if -timeout does not, and
	// verifyAllTimeout that of many.
	verifyTimeout    = 5 * time.Minute
	verifyAllTimeout = 24 * time.Hour
	// verifyPoll is the time between two looks at how many repositories are left.
	verifyPoll = 2 * time.Second
)

func (p *program) verify() *cli.Command {
	return &cli.Command{
		Name:      "verify",
		Usage:     "compare replicas with their primary",
		ArgsUsage: "[REPOSITORY]",
		Description: "One repository is compared at once: references, HEAD and object pool, and git\n" +
			"checks the objects of every replica. With -storage or -all the leader compares the\n" +
			"repositories in the background before all others, and the command shows how many\n" +
			"are left. A difference that the ledger does not explain is repaired from the\n" +
			"primary, and is in the history.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "virtual-storage", Usage: "the virtual storage's `NAME`; may be left out if there is one, and with -all"},
			&cli.StringFlag{Name: "storage", Usage: "every repository, because of this storage: `NAME`"},
			&cli.BoolFlag{Name: "all", Usage: "every repository"},
			yesFlag(),
		},
		Action: p.action([]string{"REPOSITORY?"}, func(ctx context.Context, r *run) error {
			many := r.cmd.Bool("all") || r.cmd.String("storage") != ""
			switch {
			case r.cmd.Bool("all") && r.cmd.String("storage") != "":
				return usage("verify: -all and -storage say two things")
			case many && r.arg(0) != "":
				return usage("verify: %q is one argument too many beside -all or -storage", r.arg(0))
			case many:
				return r.verifyMany(ctx)
			case r.arg(0) == "":
				return usage("verify: name a REPOSITORY, or -storage or -all")
			}
			return r.verifyOne(ctx)
		}),
	}
}

// within ends with the command's timeout, or after the time if none was given.
func (r *run) within(ctx context.Context, otherwise time.Duration) (context.Context, context.CancelFunc) {
	if r.cmd.IsSet("timeout") {
		otherwise = r.cmd.Duration("timeout")
	}
	return context.WithTimeout(ctx, otherwise)
}

func (r *run) verifyOne(ctx context.Context) error {
	request := admin.VerifyRequest{VirtualStorage: r.cmd.String("virtual-storage"), RelativePath: r.args[0]}
	ctx, cancel := r.within(ctx, verifyTimeout)
	defer cancel()
	answer, err := ask(ctx, r.to, call((*admin.Client).Verify, request))
	if err != nil {
		return err
	}
	amiss := slices.ContainsFunc(answer.Replicas, func(replica admin.VerifiedReplica) bool {
		return replica.Result == admin.ReplicaDiffers || replica.Result == admin.ReplicaUnknown
	})
	code := cmp.Or(exitIf(answer.Undecided != "", exitError), exitIf(amiss, exitDegraded))
	return r.answerWith(code, answer, func(out *output) { showVerified(out, answer) })
}

func showVerified(out *output, answer admin.VerifyResponse) {
	if answer.Undecided != "" {
		out.printf("%s %s of %s could not be verified: %s\n", out.mark(warning), answer.RelativePath, answer.VirtualStorage, answer.Undecided)
		return
	}
	out.table([]string{"", "STORAGE", "ROLE", "RESULT", "OBJECTS", "WHAT"}, each(answer.Replicas, func(replica admin.VerifiedReplica) []string {
		role, objects := "", ""
		if replica.Storage == answer.Primary {
			role = "primary"
		}
		if replica.Checked {
			objects = "checked"
		}
		return []string{out.mark(resultSign(replica.Result)), replica.Storage, role, string(replica.Result), objects, replica.What}
	}))
	out.printf("\n%s of %s; answered by %s\n", answer.RelativePath, answer.VirtualStorage, answer.Instance)
	if answer.NotNoted != "" {
		out.printf("%s Postgres did not take the time of this comparison, so the repository is compared again in its turn: %s\n", out.mark(warning), answer.NotNoted)
	}
}

func resultSign(result admin.ReplicaResult) sign {
	switch result {
	case admin.ReplicaAlike:
		return good
	case admin.ReplicaDiffers:
		return bad
	}
	return warning
}

// verifiedMany is the result of a verification of many repositories.
type verifiedMany struct {
	Schema       int   `json:"schema"`
	Repositories int64 `json:"repositories"`
	// Differences are the lines that the history got meanwhile, as far as it keeps them.
	Differences []admin.Event `json:"differences"`
}

func (r *run) verifyMany(ctx context.Context) error {
	ctx, cancel := r.within(ctx, verifyAllTimeout)
	defer cancel()
	names, since, err := r.toVerify(ctx)
	if err != nil {
		return err
	}
	if err := r.planVerification(ctx, names); err != nil {
		return err
	}
	done := verifiedMany{Schema: admin.Schema, Differences: []admin.Event{}}
	for _, name := range names {
		request := admin.RequestVerificationRequest{VirtualStorage: name, Storage: r.cmd.String("storage")}
		answer, err := ask(ctx, r.to, call((*admin.Client).RequestVerification, request))
		if err != nil {
			return err
		}
		done.Repositories += answer.Repositories
	}
	if err := r.awaitVerified(ctx, names, done.Repositories); err != nil {
		return err
	}
	history, err := r.differences(ctx)
	if err != nil {
		return err
	}
	for _, e := range history {
		if e.Index > since {
			done.Differences = append(done.Differences, e)
		}
	}
	return r.answerWith(exitIf(len(done.Differences) > 0, exitDegraded), done, func(out *output) { showVerifiedMany(out, done) })
}

func showVerifiedMany(out *output, done verifiedMany) {
	if len(done.Differences) == 0 {
		out.printf("%s repositories looked at: %d; no replica differs\n", out.mark(good), done.Repositories)
		return
	}
	out.table([]string{"", "VIRTUAL STORAGE", "REPOSITORY", "STORAGE", "WHAT"}, each(done.Differences, func(e admin.Event) []string {
		return []string{out.mark(bad), e.VirtualStorage, e.RelativePath, e.Storage, e.Why}
	}))
	out.printf("\nrepositories looked at: %d; replicas that differ: %d; they are repaired from the primary\n", done.Repositories, len(done.Differences))
}

// awaitVerified waits until nothing is requested any more, and shows how much is left.
func (r *run) awaitVerified(ctx context.Context, names []string, total int64) error {
	line := &progressLine{w: r.stderr, rewrite: r.interactive}
	defer line.end()
	for {
		left := 0
		for _, name := range names {
			answer, err := ask(ctx, r.to, call((*admin.Client).VerificationWaiting, admin.VerificationWaitingRequest{VirtualStorage: name}))
			if err != nil {
				return goesOn(ctx, err)
			}
			left += answer.Requested
		}
		if left == 0 {
			return nil
		}
		text := fmt.Sprintf("repositories to go: %d of %d", left, total)
		if left >= admin.WaitingLimit {
			text = fmt.Sprintf("repositories to go: %d or more of %d", left, total)
		}
		line.show(text, text)
		if !sleep(ctx, verifyPoll) {
			return goesOn(ctx, ctx.Err())
		}
	}
}

// goesOn says that the end of the command is not the end of the verification.
func goesOn(ctx context.Context, err error) error {
	code := exitCode(ctx, err)
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		code = exitTimeout
	}
	return coded{code, fmt.Errorf("%w; the leader goes on with the verification: praefectctl history shows what it finds", err)}
}

// toVerify are the virtual storages to verify, and the index of the last difference in the history.
func (r *run) toVerify(ctx context.Context) (names []string, since state.Index, err error) {
	status, err := ask(ctx, r.to, call((*admin.Client).Status, admin.StatusRequest{VirtualStorage: r.cmd.String("virtual-storage")}))
	if err != nil {
		return nil, 0, err
	}
	names = each(status.VirtualStorages, func(vs admin.VirtualStorage) string { return vs.Name })
	if r.cmd.String("storage") != "" && len(names) != 1 {
		return nil, 0, usage("verify: there are %d virtual storages: name one by -virtual-storage", len(names))
	}
	before, err := r.differences(ctx)
	if len(before) > 0 {
		since = before[len(before)-1].Index
	}
	return names, since, err
}

// differences are the lines of the history about replicas that differ, oldest first.
func (r *run) differences(ctx context.Context) ([]admin.Event, error) {
	request := admin.HistoryRequest{VirtualStorage: r.cmd.String("virtual-storage")}
	answer, err := ask(ctx, r.to, call((*admin.Client).History, request))
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(answer.Changes, func(e admin.Event) bool { return e.Change != state.ChangeDiffers }), nil
}

// planVerification tells the cost of a verification of many, and asks whether to go on.
func (r *run) planVerification(ctx context.Context, names []string) error {
	for _, name := range names {
		request := admin.RequestVerificationRequest{VirtualStorage: name, Storage: r.cmd.String("storage"), DryRun: true}
		answer, err := ask(ctx, r.to, call((*admin.Client).RequestVerification, request))
		if err != nil {
			return err
		}
		fmt.Fprintln(r.stderr, terminal.Line(fmt.Sprintf("%s: repositories to compare on all storages: %d, one at a time, before all others; repairs go first", name, answer.Repositories)))
	}
	return r.proceed(ctx)
}
