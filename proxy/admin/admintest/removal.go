package admintest

import (
	"context"

	"praefect/fsm/state"
	"praefect/proxy/admin"
)

// Remove implements admin.Removing. No file lists the storage or the instance to be removed.
func (c *Cluster) Remove(ctx context.Context, r admin.RemovalRequest) (admin.RemovalResponse, error) {
	if r.DryRun {
		return admin.RemovalResponse{}, c.whyKept(r)
	}
	return once(ctx, c, "Remove", r.Change, func() (admin.RemovalResponse, error) {
		vs := c.View().VirtualStorage(r.VirtualStorage)
		if r.Storage == "" {
			return admin.RemovalResponse{}, c.apply(state.Command{RemoveVirtualStorage: &state.RemoveVirtualStorage{VirtualStorage: r.VirtualStorage, Epoch: vs.Epoch, By: r.By}})
		}
		define := &state.Define{VirtualStorage: r.VirtualStorage, By: r.By}
		for _, s := range vs.Succession {
			if s.Name != r.Storage {
				define.Storages = append(define.Storages, s.Name)
			}
		}
		return admin.RemovalResponse{}, c.apply(state.Command{Define: define})
	})
}

func (c *Cluster) whyKept(r admin.RemovalRequest) error {
	why := c.View().WhyVirtualStorageKept(r.VirtualStorage)
	if r.Storage != "" {
		why = c.View().WhyKept(r.VirtualStorage, []string{r.Storage})
	}
	if why != nil {
		return why
	}
	return nil
}
