package admin

import "context"

// DropRequest removes replication jobs that wait, failed or are dead; never one that runs.
type DropRequest struct {
	Change
	VirtualStorage string `json:"virtual_storage,omitempty"` // empty for all
	RelativePath   string `json:"relative_path,omitempty"`   // empty for all
	// State is ready, failed or dead.
	State string `json:"state"`
	// DryRun counts, and changes nothing.
	DryRun bool `json:"dry_run,omitempty"`
}

// DropResponse tells how many jobs were removed, or would be.
type DropResponse struct {
	Done
	Dropped int `json:"dropped"`
	// AtLeast tells that a plan stopped counting.
	AtLeast bool `json:"at_least,omitempty"`
	// Listed is how many of the jobs, as far as they were looked at, are of repositories of which a
	// storage is still behind: the search for missing jobs makes these jobs again.
	Listed int  `json:"still_behind"`
	DryRun bool `json:"dry_run,omitempty"`
}

func (s *Service) dropJobs(ctx context.Context, r DropRequest) (DropResponse, error) {
	if err := s.prepareOrPlan(ctx, &r.Change, "queue drop "+r.State, r.DryRun); err != nil {
		return DropResponse{}, err
	}
	if r.State != "ready" && r.State != "failed" && r.State != "dead" {
		return DropResponse{}, Errorf(Invalid, "no state %q of jobs that can be dropped: want ready, failed or dead", r.State)
	}
	if err := exists(s.Node.View(), r.VirtualStorage); err != nil {
		return DropResponse{}, err
	}
	response, err := s.Control.DropJobs(ctx, r)
	response.DryRun = r.DryRun
	response.Done = s.finish(response.Done, r.Change)
	return response, asError(err)
}

// DropJobs implements Overriding.
func (c *Client) DropJobs(ctx context.Context, request DropRequest) (DropResponse, error) {
	return change(ctx, c, rpcDropJobs, request)
}
