package admin

import (
	"context"

	"praefect/fsm/state"
)

// Removing takes storages out of the cluster. Settings never do.
type Removing interface {
	// Remove takes a storage, or a whole virtual storage, out of the replicated state. It is Refused
	// while an instance has it in its settings, or where the last replica of a repository would be
	// lost. With DryRun it only looks.
	Remove(ctx context.Context, request RemovalRequest) (RemovalResponse, error)
}

// RemovalRequest asks for a storage, or a virtual storage, to be removed.
type RemovalRequest struct {
	Change
	// VirtualStorage may be empty if only one has the storage; a Control gets it filled in.
	VirtualStorage string `json:"virtual_storage,omitempty"`
	// Storage is the one to remove; empty for the whole virtual storage.
	Storage string `json:"storage,omitempty"`
	// DryRun looks whether it may be removed, and changes nothing.
	DryRun bool `json:"dry_run,omitempty"`
}

// RemovalResponse names the removed replicas, or the ones that would be removed.
type RemovalResponse struct {
	Done
	VirtualStorage string `json:"virtual_storage"`
	Storage        string `json:"storage,omitempty"`
	// State is that of the storage before.
	State  state.StorageState `json:"state,omitempty"`
	DryRun bool               `json:"dry_run,omitempty"`
	// Left are the storages of the virtual storage afterwards, none if it goes as a whole.
	Left []string `json:"left"`
}

func (s *Service) remove(ctx context.Context, r RemovalRequest) (RemovalResponse, error) {
	what := "virtual-storage remove " + r.VirtualStorage
	if r.Storage != "" {
		what = "storage remove " + r.Storage
	}
	return changed(ctx, s, &r.Change, what, r.DryRun, func() error {
		switch {
		case r.Storage != "":
			return s.resolve(&r.VirtualStorage, r.Storage)
		case r.VirtualStorage == "":
			return Errorf(Invalid, "no virtual storage is named")
		}
		return exists(s.Node.View(), r.VirtualStorage)
	}, func() (RemovalResponse, error) {
		answer := RemovalResponse{VirtualStorage: r.VirtualStorage, Storage: r.Storage, DryRun: r.DryRun, Left: []string{}}
		if vs := s.Node.View().VirtualStorage(r.VirtualStorage); vs != nil && r.Storage != "" {
			for _, st := range vs.Succession {
				if st.Name == r.Storage {
					answer.State = st.State
				} else {
					answer.Left = append(answer.Left, st.Name)
				}
			}
		}
		done, err := s.Control.Remove(ctx, r)
		answer.Done = done.Done
		return answer, err
	})
}
