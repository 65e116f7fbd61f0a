package proxy

import (
	"context"
	"crypto/sha1"
	"fmt"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/status"

	"praefect/fsm/state"
	"praefect/proxy/router"
)

// serverService answers gitaly.ServerService for the virtual storages.
type serverService struct {
	gitalypb.UnimplementedServerServiceServer
	server *Server
}

// ServerInfo shows each virtual storage as one storage, by the word of one of
// its reachable storages. Virtual storages without one are left out.
func (s serverService) ServerInfo(ctx context.Context, _ *gitalypb.ServerInfoRequest) (*gitalypb.ServerInfoResponse, error) {
	view := s.server.node.View()
	answer := &gitalypb.ServerInfoResponse{}
	for i := range view.VirtualStorages {
		vs := &view.VirtualStorages[i]
		name, err := router.RouteStorage(view, vs.Name, s.server.reachabilityOf(vs.Name), s.server.intn)
		if err != nil {
			s.server.log.Warn("virtual storage left out of server info", "virtual_storage", vs.Name, "err", err)
			continue
		}
		info, err := s.ask(ctx, vs, name)
		if err != nil {
			s.server.log.Warn("virtual storage left out of server info", "virtual_storage", vs.Name, "storage", name, "err", err)
			continue
		}
		if answer.ServerVersion == "" {
			answer.ServerVersion, answer.GitVersion = info.GetServerVersion(), info.GetGitVersion()
		}
		for _, st := range info.GetStorageStatuses() {
			if st.GetStorageName() != name {
				continue
			}
			st.StorageName = vs.Name
			st.ReplicationFactor = uint32(len(vs.Succession))
			if len(vs.Succession) > 1 {
				st.FilesystemId = virtualFilesystemID(vs.Name)
			}
			answer.StorageStatuses = append(answer.StorageStatuses, st)
			break
		}
	}
	return answer, nil
}

func (s serverService) ask(ctx context.Context, vs *state.VirtualStorage, name string) (*gitalypb.ServerInfoResponse, error) {
	conn, err := s.server.storages.Conn(vs.Name, name)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.server.cfg.InfoTimeout)
	defer cancel()
	return gitalypb.NewServerServiceClient(conn).ServerInfo(ctx, &gitalypb.ServerInfoRequest{})
}

// DiskStatistics lists every storage of every virtual storage under its own
// name; one that fails fails the call, because a sum without it would mislead.
func (s serverService) DiskStatistics(ctx context.Context, _ *gitalypb.DiskStatisticsRequest) (*gitalypb.DiskStatisticsResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, s.server.cfg.InfoTimeout)
	defer cancel()
	view := s.server.node.View()
	answer := &gitalypb.DiskStatisticsResponse{}
	for i := range view.VirtualStorages {
		vs := &view.VirtualStorages[i]
		for j := range vs.Succession {
			name := vs.Succession[j].Name
			conn, err := s.server.storages.Conn(vs.Name, name)
			if err != nil {
				return nil, err
			}
			stats, err := gitalypb.NewServerServiceClient(conn).DiskStatistics(ctx, &gitalypb.DiskStatisticsRequest{})
			if err != nil {
				return nil, status.Error(status.Code(err), fmt.Sprintf("disk statistics of storage %q: %v", name, err))
			}
			for _, st := range stats.GetStorageStatuses() {
				if st.GetStorageName() == name {
					answer.StorageStatuses = append(answer.StorageStatuses, st)
				}
			}
		}
	}
	return answer, nil
}

// ClockSynced is refused, for the reason in the table of methods.
func (s serverService) ClockSynced(context.Context, *gitalypb.ClockSyncedRequest) (*gitalypb.ClockSyncedResponse, error) {
	m, _ := s.server.methods.Lookup(gitalypb.ServerService_ClockSynced_FullMethodName)
	return nil, refused(m)
}

// virtualFilesystemID is the id that upstream shows for a virtual storage of
// several storages: a UUID of version 5 (RFC 9562) of its name, in a fixed
// name space.
func virtualFilesystemID(name string) string {
	namespace := [16]byte{0x1e, 0xf1, 0xa8, 0xc6, 0xcf, 0x52, 0x4d, 0x0a, 0x92, 0xa6, 0xca, 0x64, 0x3e, 0x8b, 0xc7, 0xc5}
	sum := sha1.Sum(append(namespace[:], name...))
	id := sum[:16]
	id[6] = id[6]&0x0f | 0x50
	id[8] = id[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[0:4], id[4:6], id[6:8], id[8:10], id[10:16])
}
