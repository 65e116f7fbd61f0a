package main

import (
	"cmp"
	"context"
	"strconv"
	"time"

	"github.com/urfave/cli/v3"

	"praefect/fsm/condition"
	"praefect/proxy/admin"
)

func (p *program) raftStatus() *cli.Command {
	return &cli.Command{
		Name:  "status",
		Usage: "show how the instances are",
		Description: "Without a leader it shows what the instance that answers knows by itself, and\n" +
			"says so; the exit code is 4.",
		Flags: watchFlags(),
		Action: p.action(nil, func(ctx context.Context, r *run) error {
			answer, err := r.raftNow(ctx)
			if err != nil {
				return err
			}
			return r.answerWith(answer.Health.ExitCode(), answer, func(out *output) { showRaft(out, answer) })
		}),
	}
}

func (p *program) raftPeers() *cli.Command {
	return &cli.Command{
		Name:  "peers",
		Usage: "list the instances and their addresses",
		Flags: watchFlags(),
		Action: p.action(nil, func(ctx context.Context, r *run) error {
			answer, err := r.raftNow(ctx)
			if err != nil {
				return err
			}
			return r.answerWith(answer.Health.ExitCode(), peersOf(answer), func(out *output) { showPeers(out, answer) })
		}),
	}
}

func showRaft(out *output, answer admin.RaftStatusResponse) {
	out.printf("cluster %s  term %d  commit %d  leader %s  feature level %d\n", cmp.Or(answer.ClusterID, "?"), answer.Term, answer.CommitIndex,
		cmp.Or(answer.Leader, "none"), answer.FeatureLevel)
	rows := make([][]string, 0, len(answer.Instances))
	voters, alive := 0, 0
	for _, i := range answer.Instances {
		if i.Voter {
			voters++
			if i.State != admin.Unreachable {
				alive++
			}
		}
		rows = append(rows, []string{
			out.mark(instanceSign(i)), i.Name, string(i.State), yesNo(i.Voter), i.Version, contact(i),
			strconv.FormatUint(i.AppliedIndex, 10), strconv.FormatUint(i.Behind, 10), lease(i), i.Addr,
			i.ClientAddr, strconv.Itoa(i.FeatureLevel), i.ID, i.Error,
		})
	}
	out.table([]string{"", "INSTANCE", "STATE", "VOTER", "VERSION", "LAST CONTACT", "APPLIED", "BEHIND", "LEASE", "ADDRESS", "+CLIENT ADDRESS", "+LEVEL", "+ID", "PROBLEM"}, rows)
	quorum := "quorum ok"
	if answer.OwnView || answer.Leader == "" {
		quorum = "no quorum known"
	}
	showConditions(out, answer.Conditions, func(condition.Condition) bool { return true })
	out.printf("\n%d/%d voters, %s, can lose %d; answered by %s\n", alive, voters, quorum, answer.CanLose, answer.Instance)
}

func instanceSign(i admin.Instance) sign {
	switch {
	case i.State == admin.Unreachable:
		return bad
	case i.State == admin.Joining:
		return busy
	case i.State == admin.NotMember || i.Error != "" || i.LeaseMillis <= 0:
		return warning
	}
	return good
}

func contact(i admin.Instance) string {
	switch {
	case i.State == admin.Leader:
		return "-"
	case i.LastContactMillis == nil:
		return "?"
	}
	return ms(*i.LastContactMillis)
}

func lease(i admin.Instance) string {
	if i.LeaseMillis <= 0 {
		return "none"
	}
	return ms(i.LeaseMillis)
}

// ms is a time for a table: exact where it is short.
func ms(n int64) string {
	d := time.Duration(n) * time.Millisecond
	if d >= 10*time.Second {
		d = d.Round(time.Second)
	}
	return d.String()
}

// peersResponse is the answer of raft peers as JSON.
type peersResponse struct {
	Schema   int    `json:"schema"`
	Instance string `json:"instance"`
	Leader   string `json:"leader"`
	Peers    []peer `json:"peers"`
}

type peer struct {
	Name       string              `json:"name"`
	ID         string              `json:"id"`
	Addr       string              `json:"addr"`
	ClientAddr string              `json:"client_addr"`
	Voter      bool                `json:"voter"`
	State      admin.InstanceState `json:"state"`
}

func peersOf(answer admin.RaftStatusResponse) peersResponse {
	peers := each(answer.Instances, func(i admin.Instance) peer { return peer{i.Name, i.ID, i.Addr, i.ClientAddr, i.Voter, i.State} })
	return peersResponse{Schema: admin.Schema, Instance: answer.Instance, Leader: answer.Leader, Peers: peers}
}

func showPeers(out *output, answer admin.RaftStatusResponse) {
	out.table([]string{"", "INSTANCE", "ID", "RAFT ADDRESS", "CLIENT ADDRESS", "VOTER", "STATE"}, each(answer.Instances, func(i admin.Instance) []string {
		return []string{out.mark(instanceSign(i)), i.Name, i.ID, i.Addr, i.ClientAddr, yesNo(i.Voter), string(i.State)}
	}))
	out.printf("\ninstances: %d; answered by %s\n", len(answer.Instances), answer.Instance)
}
