package memory

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"praefect/test/gitaly/internal/wire"
)

// diskSize is how large every disk claims to be, in bytes.
const diskSize = 1 << 40

// ServerInfo reports every storage as readable and writeable.
func (h *handlers) ServerInfo(ctx context.Context, _ *gitalypb.ServerInfoRequest) (*gitalypb.ServerInfoResponse, error) {
	resp := &gitalypb.ServerInfoResponse{ServerVersion: cmp.Or(h.server.config.Release, "16.11.10"), GitVersion: "2.42.0"}
	err := h.hooked(ctx, nil, func() error {
		h.server.mu.RLock()
		defer h.server.mu.RUnlock()
		for _, name := range slices.Sorted(maps.Keys(h.server.disks)) {
			resp.StorageStatuses = append(resp.StorageStatuses, &gitalypb.ServerInfoResponse_StorageStatus{
				StorageName:       name,
				Readable:          true,
				Writeable:         true,
				FsType:            "TMPFS",
				FilesystemId:      h.server.disks[name].id,
				ReplicationFactor: 1,
			})
		}
		return nil
	})
	return wire.Answer(resp, err)
}

// DiskStatistics reports every disk as empty.
func (h *handlers) DiskStatistics(ctx context.Context, _ *gitalypb.DiskStatisticsRequest) (*gitalypb.DiskStatisticsResponse, error) {
	resp := &gitalypb.DiskStatisticsResponse{}
	err := h.hooked(ctx, nil, func() error {
		for _, name := range slices.Sorted(slices.Values(h.server.config.Storages)) {
			resp.StorageStatuses = append(resp.StorageStatuses, &gitalypb.DiskStatisticsResponse_StorageStatus{
				StorageName: name,
				Available:   diskSize,
			})
		}
		return nil
	})
	return wire.Answer(resp, err)
}

// WalkRepos sends every repository of the storage, in the order of the paths.
func (h *handlers) WalkRepos(req *gitalypb.WalkReposRequest, stream gitalypb.InternalGitaly_WalkReposServer) error {
	return h.hooked(stream.Context(), &gitalypb.Repository{StorageName: req.GetStorageName()}, func() error {
		h.server.mu.RLock()
		disk, ok := h.server.disks[req.GetStorageName()]
		var found []*gitalypb.WalkReposResponse
		if ok {
			for _, path := range slices.Sorted(maps.Keys(disk.repos)) {
				found = append(found, &gitalypb.WalkReposResponse{
					RelativePath:     path,
					ModificationTime: timestamppb.New(disk.repos[path].created),
				})
			}
		}
		h.server.mu.RUnlock()
		if !ok {
			return wire.UnknownStorage()
		}
		for _, resp := range found {
			if err := stream.Send(resp); err != nil {
				return err
			}
		}
		return nil
	})
}
