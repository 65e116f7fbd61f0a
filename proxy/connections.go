package proxy

import (
	"praefect/proxy/ledger"
	"praefect/proxy/router"
	"praefect/proxy/storage"
)

// Connections puts the connections to the storages into the terms of the ledger.
func Connections(set *storage.Set) ledger.Storages { return connections{set} }

type connections struct{ *storage.Set }

func (r connections) Connections() []ledger.Connection {
	observed := r.Observations()
	all := make([]ledger.Connection, len(observed))
	for i, s := range observed {
		all[i] = ledger.Connection{
			VirtualStorage: s.VirtualStorage, Storage: s.Storage, Generation: s.Generation,
			Reachability: router.Reachability{OK: s.Reachable, FilesystemID: s.FilesystemID, Backchannel: s.Backchannel, Stalled: s.Stalled, Outstanding: s.Outstanding, Why: s.Err},
		}
	}
	return all
}
