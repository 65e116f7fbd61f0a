package admin

import (
	"context"
	"slices"
	"time"

	"praefect/fsm/state"
)

// LossesRequest asks for the record of accepted losses, the newest first. Its answer comes in pages.
type LossesRequest struct {
	VirtualStorage string `json:"virtual_storage,omitempty"`
	// RelativePath limits the answer to the repositories of that path.
	RelativePath string `json:"relative_path,omitempty"`
	// Before is the index of the last loss of the page before; 0 for the first page.
	Before state.Index `json:"before,omitempty"`
	// Limit bounds the page; 0, or more than lossesPage, is lossesPage.
	Limit int `json:"limit,omitempty"`
}

// lossesPage bounds a page: with all of its texts at their limits a loss has several KiB.
const lossesPage = 200

// LossesResponse is one page of them.
type LossesResponse struct {
	Schema   int    `json:"schema"`
	Instance string `json:"instance"`
	Losses   []Loss `json:"losses"`
	// More tells that there is another page.
	More bool `json:"more,omitempty"`
	// Dropped counts the older losses whose records are not kept any more.
	Dropped uint64 `json:"dropped,omitempty"`
}

// Loss is one accepted loss.
type Loss struct {
	Index          state.Index `json:"index"`
	Time           time.Time   `json:"time"`
	VirtualStorage string      `json:"virtual_storage"`
	RelativePath   string      `json:"relative_path"`
	// Storage is the one whose replica counts since.
	Storage string `json:"storage"`
	// Behind are the storages that missed an acknowledged write before.
	Behind []string `json:"behind"`
	// GivenUp tells how the other replicas differed; "here" is the chosen one. NotCompared are the
	// storages that could not be asked then.
	GivenUp     []state.Conflict `json:"given_up"`
	NotCompared []string         `json:"not_compared,omitempty"`
	// By names the operator, and the reason.
	By string `json:"by,omitempty"`
}

// Losses lists the losses that operators have accepted.
func (s *Service) Losses(_ context.Context, r LossesRequest) (LossesResponse, error) {
	view := s.Node.View()
	response := LossesResponse{Schema: Schema, Instance: s.cfg.Instance, Losses: []Loss{}, Dropped: view.LossesDropped}
	limit := lossesPage
	if r.Limit > 0 {
		limit = min(limit, r.Limit)
	}
	for i := range slices.Backward(view.Losses) {
		l := &view.Losses[i]
		switch {
		case r.VirtualStorage != "" && r.VirtualStorage != l.VirtualStorage, r.RelativePath != "" && r.RelativePath != l.RelativePath:
			continue
		case r.Before != 0 && l.Index >= r.Before:
			continue
		case len(response.Losses) >= limit && response.Losses[len(response.Losses)-1].Index != l.Index: // an entry is not split
			response.More = true
			return response, nil
		}
		response.Losses = append(response.Losses, Loss{
			Index: l.Index, Time: time.UnixMilli(l.Time).UTC(), VirtualStorage: l.VirtualStorage, RelativePath: l.RelativePath, Storage: l.Storage,
			Behind: orNone(l.Behind), GivenUp: orNone(l.GivenUp), NotCompared: l.NotCompared, By: l.By,
		})
	}
	return response, nil
}

// orNone makes an empty list of none, which JSON tells from null.
func orNone[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// Losses asks for one page of accepted losses.
func (c *Client) Losses(ctx context.Context, request LossesRequest) (LossesResponse, error) {
	return ask(ctx, c, rpcLosses, request)
}
