package admin

import "context"

// ReconcileRequest asks for the search for repositories that need a repair and have no job.
type ReconcileRequest struct {
	Change
	VirtualStorage string `json:"virtual_storage,omitempty"` // empty for all
	// DryRun counts, and changes nothing.
	DryRun bool `json:"dry_run,omitempty"`
}

// ReconcileResponse tells the findings of the search.
type ReconcileResponse struct {
	Done
	// Due is how many repositories a repair can begin for, Made how many of them had no job and
	// got one, or would get one.
	Due    int  `json:"due"`
	Made   int  `json:"jobs_made"`
	DryRun bool `json:"dry_run,omitempty"`
}

func (s *Service) reconcile(ctx context.Context, r ReconcileRequest) (ReconcileResponse, error) {
	return changed(ctx, s, &r.Change, "reconcile", r.DryRun, func() error { return exists(s.Node.View(), r.VirtualStorage) },
		func() (ReconcileResponse, error) {
			response, err := s.Control.Reconcile(ctx, r)
			response.DryRun = r.DryRun
			return response, err
		})
}

// Reconcile implements Overriding.
func (c *Client) Reconcile(ctx context.Context, request ReconcileRequest) (ReconcileResponse, error) {
	return change(ctx, c, rpcReconcile, request)
}
