package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"praefect/cmd/terminal"
	"praefect/fsm/state"
	"praefect/proxy/admin"
)

func (p *program) events() *cli.Command {
	return &cli.Command{
		Name:  "events",
		Usage: "print the changes of the cluster, one a line; with -f as they come",
		Description: "The lines are those of history. With -f it goes on until Ctrl-C, over the death of any\n" +
			"instance; then the exit code is 0. With -o json each line is a document of its own.",
		Flags: []cli.Flag{
			virtualStorageFlag(),
			&cli.BoolFlag{Name: "follow", Aliases: []string{"f"}, Usage: "go on with the changes that come"},
			&cli.IntFlag{Name: "limit", Value: 10, Usage: "begin with at most this `NUMBER` of changes, the newest; 0 is none"},
			&cli.DurationFlag{Name: "interval", Value: time.Second, Usage: "the `TIME` between two looks of -f"},
		},
		Action: p.action(nil, func(ctx context.Context, r *run) error { return r.events(ctx) }),
	}
}

// events prints changes by rising index. Each look begins after the last one printed: so an instance
// that is asked next may be behind, and nothing is printed twice.
func (r *run) events(ctx context.Context) error {
	limit, follow, interval := r.cmd.Int("limit"), r.cmd.Bool("follow"), r.cmd.Duration("interval")
	switch {
	case limit < 0 || limit > admin.MaxPage:
		return usage("-limit is %d: want 0 to %d", limit, admin.MaxPage)
	case interval <= 0:
		return usage("-interval is %v: want more than 0", interval)
	case limit == 0 && !follow:
		return usage("-limit 0 shows nothing without -f")
	}
	var last state.Index
	complaint := ""
	for first := true; ; {
		changes, err := r.changesAfter(ctx, last)
		switch {
		case err == nil:
			if complaint != "" {
				fmt.Fprintln(r.stderr, "praefectctl: an instance answers again")
				complaint = ""
			}
			if first {
				first = false
				if len(changes) > 0 {
					last = changes[len(changes)-1].Index
				}
				changes = changes[max(0, len(changes)-limit):]
			}
			for _, e := range changes {
				if err := r.event(e); err != nil {
					return err
				}
				last = max(last, e.Index)
			}
			if r.out.err != nil || !follow {
				return r.out.err
			}
		case ctx.Err() != nil && follow:
			return nil
		case !follow || first:
			return err
		case err.Error() != complaint: // said once, until it changes
			complaint = err.Error()
			fmt.Fprintln(r.stderr, "praefectctl: "+terminal.Text(complaint))
		}
		if !sleep(ctx, interval) {
			return nil
		}
	}
}

func (r *run) changesAfter(ctx context.Context, last state.Index) ([]admin.Event, error) {
	request := admin.HistoryRequest{VirtualStorage: r.cmd.String("virtual-storage"), After: last}
	answer, err := inTime(ctx, r, call((*admin.Client).History, request))
	return answer.Changes, err
}

// event prints one change.
func (r *run) event(e admin.Event) error {
	switch {
	case r.out.format == formatJSON:
		text, err := json.Marshal(e)
		if err != nil {
			return fmt.Errorf("encode a change: %w", err)
		}
		r.out.print(string(terminal.JSON(text)) + "\n")
		return nil
	case r.out.documents():
		return r.out.document(e)
	}
	r.eventLine(e)
	return nil
}

// eventLine prints one change for people.
func (r *run) eventLine(e admin.Event) {
	about := slices.DeleteFunc([]string{e.VirtualStorage, e.Storage, e.RelativePath, e.Instance}, func(name string) bool { return name == "" })
	line := strings.Join(about, " ") + ": " + e.Change
	if e.Why != "" {
		line += " (" + e.Why + ")"
	}
	if e.By != "" {
		line += ", by " + e.By
	}
	r.out.printf("%s %s %s\n", r.out.mark(eventSign(e)), e.Time.UTC().Format(time.RFC3339), line)
}

// eventSign is good for a storage that begins to serve, a warning for one that ceases to.
func eventSign(e admin.Event) sign {
	switch {
	case e.Change == string(state.Serving):
		return good
	case e.Change == string(state.Out) && e.Why == state.WhyDead:
		return bad
	case e.Change == string(state.Out), e.Change == string(state.Fenced), e.Change == state.ChangeLossAccepted:
		return warning
	}
	return busy
}
