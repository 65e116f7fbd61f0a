package admin

import (
	"context"

	"praefect/fsm/state"
)

func (s *Service) refill(ctx context.Context, r RefillRequest) (RefillResponse, error) {
	judge := func() error { return s.resolve(&r.VirtualStorage, r.Storage) }
	return changed(ctx, s, &r.Change, "refill "+r.Storage, r.DryRun, judge, func() (RefillResponse, error) {
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
		answer.Done = done.Done
		return answer, err
	})
}
