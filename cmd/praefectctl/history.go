package main

import (
	"context"
	"strconv"
	"time"

	"github.com/urfave/cli/v3"

	"praefect/proxy/admin"
)

func (p *program) history() *cli.Command {
	return &cli.Command{
		Name:  "history",
		Usage: "list what has changed about the storages, oldest first",
		Flags: watchFlags(
			virtualStorageFlag(),
			&cli.IntFlag{Name: "limit", Value: 50, Usage: "at most this `NUMBER` of changes, the newest"},
		),
		Action: p.action(nil, func(ctx context.Context, r *run) error {
			request := admin.HistoryRequest{VirtualStorage: r.cmd.String("virtual-storage"), Limit: r.cmd.Int("limit")}
			if request.Limit <= 0 || request.Limit > admin.MaxPage {
				return usage("-limit is %d: want 1 to %d", request.Limit, admin.MaxPage)
			}
			answer, err := inTime(ctx, r, call((*admin.Client).History, request))
			if err != nil {
				return err
			}
			return r.answer(answer, func(out *output) { showHistory(out, answer) })
		}),
	}
}

func showHistory(out *output, answer admin.HistoryResponse) {
	out.table(changeHeader, changeRows(answer.Changes))
	out.printf("\nchanges: %d; answered by %s\n", len(answer.Changes), answer.Instance)
}

// changeHeader is the header of the rows of changeRows.
var changeHeader = []string{"TIME", "VIRTUAL STORAGE", "EPOCH", "STORAGE", "REPOSITORY", "INSTANCE", "CHANGE", "WHY", "BY", "+INDEX"}

func changeRows(changes []admin.Event) [][]string {
	return each(changes, func(e admin.Event) []string {
		return []string{
			e.Time.UTC().Format(time.RFC3339), e.VirtualStorage, epochText(e), e.Storage, e.RelativePath, e.Instance, e.Change, e.Why, e.By,
			strconv.FormatUint(uint64(e.Index), 10),
		}
	})
}

// epochText is empty for a change that is of no virtual storage.
func epochText(e admin.Event) string {
	if e.VirtualStorage == "" {
		return ""
	}
	return strconv.FormatUint(e.Epoch, 10)
}
