package gitaly

import (
	"context"
	"fmt"
	"os"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"golang.org/x/sys/unix"
)

// serverVersion is the version of Gitaly whose API the server speaks.
const serverVersion = "16.11.10"

// release is the version that the server says it runs.
func (h *handlers) release() string {
	for _, s := range h.storages {
		if s.voter.release != "" {
			return s.voter.release
		}
	}
	return serverVersion
}

// ServerInfo reports the state of every storage; one whose directory is gone
// is neither readable nor writeable and has no file system id.
func (h *handlers) ServerInfo(context.Context, *gitalypb.ServerInfoRequest) (*gitalypb.ServerInfoResponse, error) {
	resp := &gitalypb.ServerInfoResponse{ServerVersion: h.release(), GitVersion: h.gitVersion}
	for _, s := range h.storages {
		status := &gitalypb.ServerInfoResponse_StorageStatus{StorageName: s.name, ReplicationFactor: 1}
		if fsStat, err := s.stat(); err == nil {
			status.Readable = true
			status.FsType = fsTypeName(fsStat.Type)
		}
		if err := s.tryWrite(); err != nil {
			h.log.Warn("storage is not writeable", "storage", s.name, "err", err)
		} else {
			status.Writeable = true
		}
		id, err := s.filesystemID()
		if err != nil {
			h.log.Warn("storage has no file system id", "storage", s.name, "err", err)
		}
		status.FilesystemId = id
		resp.StorageStatuses = append(resp.StorageStatuses, status)
	}
	return resp, nil
}

// DiskStatistics reports the space of every storage in bytes; zeros where the
// directory is gone.
func (h *handlers) DiskStatistics(context.Context, *gitalypb.DiskStatisticsRequest) (*gitalypb.DiskStatisticsResponse, error) {
	resp := &gitalypb.DiskStatisticsResponse{}
	for _, s := range h.storages {
		status := &gitalypb.DiskStatisticsResponse_StorageStatus{StorageName: s.name}
		if fsStat, err := s.stat(); err != nil {
			h.log.Warn("storage has no disk statistics", "storage", s.name, "err", err)
		} else {
			status.Available = int64(fsStat.Bavail) * fsStat.Bsize
			status.Used = int64(fsStat.Blocks-fsStat.Bfree) * fsStat.Bsize
		}
		resp.StorageStatuses = append(resp.StorageStatuses, status)
	}
	return resp, nil
}

func (s *storage) stat() (*unix.Statfs_t, error) {
	var fsStat unix.Statfs_t
	if err := unix.Statfs(s.dir, &fsStat); err != nil {
		return nil, fmt.Errorf("stat file system of %q: %w", s.dir, err)
	}
	return &fsStat, nil
}

// tryWrite makes a directory and removes it: the least that a write needs.
func (s *storage) tryWrite() error {
	dir, err := s.tempDir()
	if err != nil {
		return err
	}
	return os.Remove(dir)
}

// fsTypeName names the common file systems as Gitaly does.
func fsTypeName(magic int64) string {
	switch magic {
	case unix.EXT4_SUPER_MAGIC:
		return "EXT_2_3_4"
	case unix.XFS_SUPER_MAGIC:
		return "XFS"
	case unix.BTRFS_SUPER_MAGIC:
		return "BTRFS"
	case unix.OVERLAYFS_SUPER_MAGIC:
		return "OVERLAYFS"
	case unix.TMPFS_MAGIC:
		return "TMPFS"
	case unix.NFS_SUPER_MAGIC:
		return "NFS"
	}
	return "unknown"
}
