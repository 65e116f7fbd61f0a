package main

import (
	"context"
	"fmt"
	"net"

	"google.golang.org/grpc"

	"praefect/config"
	"praefect/consensus"
	"praefect/consensus/elector"
	"praefect/fsm/state"
	"praefect/proxy"
	"praefect/proxy/admin"
	"praefect/proxy/ledger"
	"praefect/proxy/storage"
	"praefect/replicator"
)

// The packages of the project do not import each other where they could do
// without. Each part that one of them needs of another one is put into its terms here.

// targets are the storages to connect to.
func targets(cfg *config.Config) []storage.Target {
	var list []storage.Target
	for _, vs := range cfg.VirtualStorages {
		for _, node := range vs.Nodes {
			list = append(list, storage.Target{
				VirtualStorage: vs.Name, Storage: node.Storage, Address: node.Address, Token: node.Token.Reveal(),
			})
		}
	}
	return list
}

// configured are the virtual storages as the operator wrote them.
func configured(cfg *config.Config) []elector.Configured {
	var list []elector.Configured
	for _, vs := range cfg.VirtualStorages {
		list = append(list, elector.Configured{VirtualStorage: vs.Name, Storages: vs.Succession(), Primary: vs.ConfiguredPrimary()})
	}
	return list
}

// clientAddress is how peers name the place where this instance serves clients:
// where it listens on every address, the host is that of its port for peers.
func clientAddress(cfg *config.Config) string {
	scheme, listen := "tcp://", cfg.ListenAddr
	if listen == "" {
		scheme, listen = "tls://", cfg.TLSListenAddr
	}
	if listen == "" {
		return "unix:" + cfg.SocketPath
	}
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return scheme + listen
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		if peers, _, err := net.SplitHostPort(cfg.Raft.AdvertisedAddr()); err == nil {
			host = peers
		}
	}
	return scheme + net.JoinHostPort(host, port)
}

// otherInstances are the instances that reads may be passed on to.
func otherInstances(node *consensus.Node) func() []proxy.Peer {
	return func() []proxy.Peer {
		var peers []proxy.Peer
		for _, in := range node.View().Instances {
			if in.ID != node.ID() && in.Address != "" {
				peers = append(peers, proxy.Peer{Name: in.Name, Address: in.Address})
			}
		}
		return peers
	}
}

// repairStorages are the connections for the replicator: none to a disk that
// is not the agreed one.
type repairStorages struct {
	*storage.Set
	view func() *state.State
}

func (s repairStorages) Conn(virtualStorage, name string) (grpc.ClientConnInterface, error) {
	conn, err := s.Set.Conn(virtualStorage, name)
	if err != nil {
		return nil, err
	}
	var agreed *state.Storage
	if vs := s.view().VirtualStorage(virtualStorage); vs != nil {
		agreed = vs.Storage(name)
	}
	if agreed == nil || agreed.FilesystemID != conn.FilesystemID() {
		return nil, fmt.Errorf("storage %q of virtual storage %q has the disk %q, which is not the agreed one",
			name, virtualStorage, conn.FilesystemID())
	}
	return conn, nil
}

func (s repairStorages) Server(virtualStorage, name string) (address, token string) {
	t, err := s.Target(virtualStorage, name)
	if err != nil {
		return "", "" // no storage of that name: there is no connection to ask by either
	}
	return t.Address, t.Token
}

// repairLocks is the ledger's repair lock for the replicator.
type repairLocks struct{ *ledger.Ledger }

func (g repairLocks) Lock(ctx context.Context, key state.Key, pause bool) (replicator.Guard, error) {
	guard, err := g.Ledger.LockForRepair(ctx, key, pause)
	if err != nil {
		return nil, err // a nil *ledger.Guard is no nil replicator.Guard
	}
	return guard, nil
}

// adminLocal is the node's part in the cluster, as the node itself knows it, for operators.
func adminLocal(node *consensus.Node) func() admin.Local {
	return func() admin.Local {
		local := admin.Local{}
		if leader, err := node.Leader(); err == nil {
			local.Leader = leader.Name
		}
		for _, m := range node.Members() {
			local.Members = append(local.Members, admin.LocalMember{ID: m.ID, Name: m.Name})
		}
		return local
	}
}
