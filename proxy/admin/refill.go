package admin

import (
	"context"

	"praefect/fsm/state"
)

func (s *Service) refill(ctx context.Context, r RefillRequest) (RefillResponse, error) {
	if err := s.prepareOrPlan(ctx, &r.Change, "refill "+r.Storage, r.DryRun); err != nil {
		return RefillResponse{}, err
	}
	if err := s.resolve(&r.VirtualStorage, r.Storage); err != nil {
		return RefillResponse{}, err
	}
	answer := RefillResponse{VirtualStorage: r.VirtualStorage, Storage: r.Storage, DryRun: r.DryRun, Sources: []string{}}
	view := s.Node.View()
	if vs := view.VirtualStorage(r.VirtualStorage); vs != nil {
		answer.Behind = view.Behind(vs.Name, r.Storage)
		for _, st := range vs.Succession {
			if st.Name == r.Storage {
				answer.State = st.State
			} else if st.State == state.Serving {
				answer.Sources = append(answer.Sources, st.Name)
			}
		}
	}
	done, err := s.Control.Refill(ctx, r)
	answer.Done = s.finish(done.Done, r.Change)
	return answer, asError(err)
}
