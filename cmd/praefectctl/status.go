package main

import (
	"cmp"
	"context"
	"fmt"
	"strconv"

	"github.com/urfave/cli/v3"

	"praefect/fsm/state"
	"praefect/proxy/admin"
)

func (p *program) status() *cli.Command {
	return &cli.Command{
		Name:  "status",
		Usage: "show the virtual storages and their storages",
		Flags: []cli.Flag{virtualStorageFlag()},
		Action: p.queryAction(func(cmd *cli.Command) query {
			return func(ctx context.Context, e endpoints, out *output) error {
				answer, err := ask(ctx, e, func(ctx context.Context, c *admin.Client) (admin.StatusResponse, error) {
					return c.Status(ctx, admin.StatusRequest{VirtualStorage: cmd.String("virtual-storage")})
				})
				if err != nil {
					return err
				}
				if out.json {
					if err := out.document(answer); err != nil {
						return err
					}
				} else {
					showStatus(out, answer)
				}
				switch answer.Health() {
				case admin.Unavailable:
					return coded{code: exitUnavailable}
				case admin.Degraded:
					return coded{code: exitDegraded}
				}
				return nil
			}
		}),
	}
}

func virtualStorageFlag() cli.Flag {
	return &cli.StringFlag{Name: "virtual-storage", Usage: "only this virtual storage: `NAME`"}
}

func showStatus(out *output, answer admin.StatusResponse) {
	for _, vs := range answer.VirtualStorages {
		health := vs.Health()
		out.printf("%s %s: %s, primary %s, epoch %d\n", out.mark(healthSign(health)), vs.Name, health, cmp.Or(vs.Primary, "none"), vs.Epoch)
		rows := make([][]string, 0, len(vs.Storages))
		for _, st := range vs.Storages {
			role := "secondary"
			if st.Name == vs.Primary {
				role = "primary"
			}
			rows = append(rows, []string{
				out.mark(storageSign(st)), st.Name, role, standing(st), yesNo(st.Reachable), strconv.Itoa(st.Behind), st.Error,
			})
		}
		out.table([]string{"", "STORAGE", "ROLE", "STANDING", "REACHABLE", "BEHIND", "PROBLEM"}, rows)
		if vs.Unavailable > 0 {
			out.printf("%s unavailable repositories: %d; list: praefectctl dataloss -virtual-storage %s\n", out.mark(bad), vs.Unavailable, vs.Name)
		}
		out.printf("\n")
	}
	out.printf("%s; answered by %s\n", answer.Health(), answer.Instance)
}

func healthSign(h admin.Health) sign {
	switch h {
	case admin.Healthy:
		return good
	case admin.Degraded:
		return warning
	}
	return bad
}

func storageSign(st admin.Storage) sign {
	switch {
	case !st.Reachable:
		return bad
	case st.Standing == state.Filling:
		return busy
	case st.Standing != state.Serving || st.Slow:
		return warning
	}
	return good
}

// standing is the standing of a storage with what is to be said about it.
func standing(st admin.Storage) string {
	text := string(st.Standing)
	switch {
	case st.Filling != nil && st.Filling.Total > 0:
		text += fmt.Sprintf(" %d/%d", st.Filling.Done, st.Filling.Total)
	case st.Why != "":
		text += " (" + st.Why + ")"
	}
	if st.Slow {
		text += ", slow"
	}
	return text
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
