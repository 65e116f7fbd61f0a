package admin

import (
	"context"

	"praefect/fsm/state"
)

// ImpactRequest asks for the consequences if a storage were missing.
type ImpactRequest struct {
	VirtualStorage string `json:"virtual_storage,omitempty"` // as in SwitchRequest
	Storage        string `json:"storage"`
}

// ImpactResponse tells it by the replicated state as the answering instance has applied it.
type ImpactResponse struct {
	Schema         int                `json:"schema"`
	Instance       string             `json:"instance"`
	VirtualStorage string             `json:"virtual_storage"`
	Storage        string             `json:"storage"`
	State          state.StorageState `json:"state"`
	Why            string             `json:"why,omitempty"`
	// Serving are the other storages that serve and that the answering instance reaches.
	Serving []string `json:"serving"`
	// Copies is on how many storages a write must be according to the settings, as far as known.
	Copies int `json:"copies"`
	// Unavailable counts the repositories that could not be read without the storage and can be with
	// it; Short the repositories that would be on fewer than Copies storages. Repositories are the
	// first of the former.
	Unavailable  int      `json:"unavailable_repositories"`
	Short        int      `json:"short_repositories"`
	Repositories []string `json:"repositories"`
}

// impactSample bounds the repositories that an ImpactResponse names.
const impactSample = 20

// impact looks at the ledger: a clean repository is on every storage that serves.
func (s *Service) impact(_ context.Context, r ImpactRequest) (ImpactResponse, error) {
	if err := s.resolve(&r.VirtualStorage, r.Storage); err != nil {
		return ImpactResponse{}, err
	}
	view := s.Node.View()
	vs := view.VirtualStorage(r.VirtualStorage)
	st := vs.Storage(r.Storage)
	answer := ImpactResponse{
		Schema: Schema, Instance: s.cfg.Instance, VirtualStorage: vs.Name, Storage: st.Name, State: st.State, Why: st.Why,
		Serving: []string{}, Repositories: []string{}, Copies: s.Copies,
	}
	with := s.reachable(vs)
	without := map[string]bool{}
	for name, reachable := range with {
		without[name] = reachable && name != st.Name
	}
	for i := range vs.Succession {
		if other := &vs.Succession[i]; other.State == state.Serving && without[other.Name] {
			answer.Serving = append(answer.Serving, other.Name)
		}
	}
	view.Each(vs.Name, func(k state.Key, e *state.Entry) bool {
		left := 0
		for other := range vs.InSync(e) {
			if other.State == state.Serving && without[other.Name] {
				left++
			}
		}
		switch {
		case left == 0 && available(vs, e, with):
			answer.Unavailable++
			if len(answer.Repositories) < impactSample {
				answer.Repositories = append(answer.Repositories, k.RelativePath)
			}
		case left < min(s.Copies, len(answer.Serving)) && !e.IsBehind(st.Name):
			answer.Short++
		}
		return true
	})
	return answer, nil
}

// Impact asks for the consequences if a storage were missing.
func (c *Client) Impact(ctx context.Context, request ImpactRequest) (ImpactResponse, error) {
	return ask(ctx, c, rpcImpact, request)
}
