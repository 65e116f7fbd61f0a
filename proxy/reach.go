package proxy

import (
	"praefect/proxy/ledger"
	"praefect/proxy/router"
	"praefect/proxy/storage"
)

// Reached puts the connections to the storages into the terms of the ledger.
func Reached(set *storage.Set) ledger.Storages { return reached{set} }

type reached struct{ *storage.Set }

func (r reached) Reach() []ledger.Reached {
	states := r.States()
	all := make([]ledger.Reached, len(states))
	for i, s := range states {
		all[i] = ledger.Reached{
			VirtualStorage: s.VirtualStorage, Storage: s.Storage, Generation: s.Generation,
			Reach: router.Reach{OK: s.Reachable, FilesystemID: s.FilesystemID, Backchannel: s.Backchannel, Stalled: s.Stalled, Outstanding: s.Outstanding, Why: s.Err},
		}
	}
	return all
}
