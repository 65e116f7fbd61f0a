package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"praefect/config"
	"praefect/consensus"
	"praefect/consensus/session"
	"praefect/fsm/condition"
	"praefect/proxy"
	"praefect/proxy/admin"
	"praefect/proxy/ledger"
	"praefect/proxy/monitor"
	"praefect/proxy/storage"
	"praefect/replicator"
	"praefect/replicator/postgres"
)

// conditions collects the facts of this instance for its monitor.
type conditions struct {
	cfg          *config.Config
	node         *consensus.Node
	session      *session.Session
	intents      *ledger.Ledger
	storages     *storage.Set
	db           *postgres.DB
	repair       *replicator.Replicator
	stuck        *stuckRepairs
	certificates *certificates
	// failing are the storages that fail the writes of which they are the primary.
	failing func() []proxy.FailingPrimary
	// otherCluster and claimed say why the instance may take no lease, empty if it may.
	otherCluster, claimed func() string
}

// monitor makes the monitor.
func (c conditions) monitor(log *slog.Logger) *monitor.Monitor {
	return monitor.New(monitor.Deps{
		View: c.node.View, Observation: c.storages.Observation, RejoinsIn: c.session.RejoinsIn, Facts: c.facts,
		Copies: c.cfg.Consistency.Copies, Log: log,
		Exchange: func(ctx context.Context, own []condition.Condition) ([]condition.Condition, error) {
			client, err := way{node: c.node}.leaderNow()
			if err != nil {
				return nil, err
			}
			return client.ShareConditions(ctx, admin.ShareConditionsRequest{Instance: c.cfg.Raft.Name, Conditions: own})
		},
	})
}

// leaderNow returns a client of another instance that leads. It does not ask for the reason why
// there is none.
func (w way) leaderNow() (*admin.Client, error) {
	cc, _, err := w.node.LeaderConn()
	if err != nil {
		return nil, err
	}
	return admin.NewClient(cc), nil
}

// facts are all that this instance knows beside the virtual storages.
func (c conditions) facts() condition.Facts {
	facts := condition.Facts{
		Instance: c.cfg.Raft.Name, Leased: leased(c.intents, c.session.Barred) == nil, Configured: len(c.cfg.Raft.Others()) + 1,
		Members: c.session.Heard(), Postgres: c.db.Away(), Certificates: c.certificates.left(time.Now()),
		Raised: c.session.Alarms(),
	}
	if _, leads := c.node.Leading(); leads {
		facts.Leader = facts.Instance
	} else if leader, err := c.node.Leader(); err == nil {
		facts.Leader = leader.Name
	}
	for name, why := range map[condition.Name]string{condition.OtherCluster: c.otherCluster(), condition.ClaimLost: c.claimed()} {
		if why != "" {
			facts.Raised = append(facts.Raised, condition.Raised{Name: name, Instance: facts.Instance, Text: why})
		}
	}
	raise := func(name condition.Name, virtualStorage, storage, format string, args ...any) {
		facts.Raised = append(facts.Raised, condition.Raised{
			Name: name, VirtualStorage: virtualStorage, Storage: storage, Text: fmt.Sprintf(format, args...),
		})
	}
	for _, a := range c.repair.Alarms() {
		raise(condition.RepairWaits, a.VirtualStorage, "", "%s of %s cannot be repaired (%s): %s", a.RelativePath, a.VirtualStorage, a.Reason, a.Detail)
	}
	for _, f := range c.repair.FailingStorages() {
		raise(condition.CopiesFail, f.VirtualStorage, f.Storage, "copies onto %d replicas of %s of %s fail at %s: none of them is made again from nothing",
			f.Replicas, f.Storage, f.VirtualStorage, facts.Instance)
	}
	for _, f := range c.failing() {
		what := "its replica is the matter, and steps down"
		if f.Repositories > 1 {
			what = "the storage is the matter if their number grows, for example because its disk is full"
		}
		raise(condition.PrimaryUnwritable, f.VirtualStorage, f.Storage, "%s of %s, the primary, fails writes of %d repositories at %s that other storages could do: %s",
			f.Storage, f.VirtualStorage, f.Repositories, facts.Instance, what)
	}
	for _, d := range c.repair.Damages() {
		raise(condition.ReplicaDamaged, d.VirtualStorage, d.Storage, "git complains of the objects of %s on %s of %s: %s", d.RelativePath, d.Storage, d.VirtualStorage, d.What)
	}
	for _, n := range c.repair.NotCompared() {
		raise(condition.NotCompared, n.VirtualStorage, "", "%s", notCompared(n))
	}
	facts.Raised = append(facts.Raised, condition.Differing(c.node.View(), time.Now())...)
	facts.Raised = append(facts.Raised, c.stuck.list()...)
	return facts
}

// notCompared tells people which comparisons are left after a recovery.
func notCompared(n replicator.NotCompared) string {
	left := fmt.Sprintf("%d repositories have not been compared there yet", n.Left)
	if n.Left < 0 {
		left = "how many repositories have not been compared there yet is not known, because Postgres is away"
	}
	return fmt.Sprintf("since the recovery at %s %q of %s serve on, and %s: the verification takes them before all others",
		n.Recovered.UTC().Format(time.RFC3339), n.Storages, n.VirtualStorage, left)
}
