package admin

import (
	"context"

	"praefect/fsm/condition"
)

// ShareConditionsRequest tells the leader the conditions that an instance finds in itself.
type ShareConditionsRequest struct {
	// Instance is the name of the instance that tells.
	Instance   string                `json:"instance"`
	Conditions []condition.Condition `json:"conditions"`
}

// ShareConditionsResponse has the conditions that the leader knows.
type ShareConditionsResponse struct {
	Conditions []condition.Condition `json:"conditions"`
}

// shareConditions is for other instances only: the word of an operator about one would be taken for
// the truth.
func (s *Service) shareConditions(_ context.Context, r ShareConditionsRequest) (ShareConditionsResponse, error) {
	switch {
	case !s.cfg.Access.Peers:
		return ShareConditionsResponse{}, Errorf(Denied, "only instances tell each other their conditions; praefectctl status shows them")
	case r.Instance == "":
		return ShareConditionsResponse{}, Errorf(Invalid, "no instance is named")
	}
	return ShareConditionsResponse{Conditions: s.Conditions.Receive(r.Instance, r.Conditions)}, nil
}

// ShareConditions tells the leader the conditions that an instance finds in itself, and returns the
// ones that the leader knows.
func (c *Client) ShareConditions(ctx context.Context, request ShareConditionsRequest) ([]condition.Condition, error) {
	response, err := ask(ctx, c, rpcShareConditions, request)
	return response.Conditions, err
}

// ofInstances are the conditions of the instances: the ones that follow from the view, which has
// just been asked for, and the others that are known.
func (s *Service) ofInstances(ctx context.Context, view RaftView) []condition.Condition {
	facts := condition.Facts{Instance: s.cfg.Instance, Leader: view.Leader, Leased: true}
	if view.OwnView {
		facts.Leader = ""
	}
	if facts.Leader != "" {
		for _, i := range view.Instances {
			facts.Members = append(facts.Members, condition.Member{
				Name: i.Name, Voter: i.Voter, Heard: i.State != Unreachable, Leased: i.LeaseMillis > 0, Problem: i.Error,
			})
		}
	}
	for _, i := range view.Instances {
		if i.Version != "" {
			facts.Running = append(facts.Running, condition.Running{Name: i.Name, Version: i.Version})
		}
	}
	known := condition.OfInstances(s.Conditions.Conditions(ctx))
	// The answers of a moment ago are newer than the reports to the leader.
	known = condition.Without(known, condition.InstanceAway, condition.NoLease, condition.CannotLoseAny, condition.NoSpare, condition.NoLeader, condition.VersionsDiffer)
	return condition.Merge(condition.Judge(facts), known)
}
