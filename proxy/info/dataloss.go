package info

import (
	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/fsm/state"
)

// datalossPage is how many repositories one message of Dataloss holds.
const datalossPage = 500

// Dataloss lists the repositories that no storage can serve, or, if asked for, the repositories of which a storage misses an
// acknowledged write. It tells that a storage is behind, not by how much: by one write at least.
func (s *Service) Dataloss(r *gitalypb.DatalossRequest, stream gitalypb.PraefectInfoService_DatalossServer) error {
	view := s.Node.View()
	vs := view.VirtualStorage(r.GetVirtualStorage())
	if vs == nil {
		return status.Errorf(codes.Internal, "unknown virtual storage: %q", r.GetVirtualStorage())
	}
	storages := sorted(vs)
	healthy := make(map[string]bool, len(storages))
	for _, st := range storages {
		healthy[st.Name] = s.healthy(vs.Name, st.Name)
	}
	page := &gitalypb.DatalossResponse{}
	var sendErr error
	view.Each(vs.Name, func(key state.Key, e *state.Entry) bool {
		lost := describeLoss(vs, storages, key, e, healthy)
		if !lost.Unavailable && (!r.GetIncludePartiallyReplicated() || len(e.Behind) == 0) {
			return true
		}
		page.Repositories = append(page.Repositories, lost)
		if len(page.Repositories) == datalossPage {
			sendErr = stream.Send(page)
			page = &gitalypb.DatalossResponse{}
		}
		return sendErr == nil && stream.Context().Err() == nil
	})
	if sendErr == nil && len(page.Repositories) > 0 {
		sendErr = stream.Send(page)
	}
	return sendErr
}

func describeLoss(vs *state.VirtualStorage, storages []*state.Storage, key state.Key, e *state.Entry, healthy map[string]bool) *gitalypb.DatalossResponse_Repository {
	primary, _ := vs.Primary(e)
	lost := &gitalypb.DatalossResponse_Repository{RelativePath: key.RelativePath, Primary: primary.Name, Unavailable: true}
	for _, st := range storages {
		described := &gitalypb.DatalossResponse_Repository_Storage{
			Name: st.Name, Assigned: true, Healthy: healthy[st.Name], ValidPrimary: validPrimary(st, e, healthy[st.Name]),
		}
		if e.IsBehind(st.Name) {
			described.BehindBy = 1
		}
		if described.ValidPrimary {
			lost.Unavailable = false
		}
		lost.Storages = append(lost.Storages, described)
	}
	return lost
}
