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
	return changed(ctx, s, &r.Change, "queue drop "+r.State, r.DryRun, func() error {
		if r.State != "ready" && r.State != "failed" && r.State != "dead" {
			return Errorf(Invalid, "no state %q of jobs that can be dropped: want ready, failed or dead", r.State)
		}
		return exists(s.Node.View(), r.VirtualStorage)
	}, func() (DropResponse, error) {
		response, err := s.Control.DropJobs(ctx, r)
		response.DryRun = r.DryRun
		return response, err
	})
}

// DropJobs implements Overriding.
func (c *Client) DropJobs(ctx context.Context, request DropRequest) (DropResponse, error) {
	return change(ctx, c, rpcDropJobs, request)
}
