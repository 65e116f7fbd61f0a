package main

import (
	"context"
	"slices"

	"google.golang.org/grpc"

	"praefect/config"
	"praefect/fsm/condition"
	"praefect/proxy/admin"
	"praefect/proxy/check"
)

// The conditions that the checks of the leader and of the quorum are about. Findings of other
// checks are not told twice.
var (
	aboutLeader = []condition.Name{condition.NoLeader, condition.OtherCluster, condition.ClaimLost, condition.NoVirtualStorage}
	aboutQuorum = []condition.Name{condition.FewerVoters, condition.CannotLoseAny, condition.InstanceAway, condition.NoLease}
	checked     = []condition.Name{condition.StorageAway, condition.NoPrimary, condition.RepositoryAway, condition.PostgresAway}
)

// checksOfConditions ask the running instance for the conditions of the cluster.
func checksOfConditions(cfg *config.Config) []check.Check {
	ask := func(wanted func(condition.Condition) bool) func(context.Context) ([]string, error) {
		return func(ctx context.Context) (problems []string, err error) {
			err = dialInstance(ctx, cfg, func(cc *grpc.ClientConn) error {
				status, err := admin.NewClient(cc).Status(ctx, admin.StatusRequest{})
				for _, c := range status.Conditions {
					if wanted(c) {
						problems = append(problems, string(c.Name)+": "+c.Text)
					}
				}
				return err
			})
			return problems, err
		}
	}
	among := func(names []condition.Name) func(condition.Condition) bool {
		return func(c condition.Condition) bool { return slices.Contains(names, c.Name) }
	}
	return []check.Check{
		check.Leader(ask(among(aboutLeader))),
		check.Quorum(ask(among(aboutQuorum))),
		check.Conditions(ask(func(c condition.Condition) bool {
			return c.Level != condition.Notice && !slices.Contains(slices.Concat(aboutLeader, aboutQuorum, checked), c.Name)
		})),
	}
}
