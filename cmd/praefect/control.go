package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"praefect/config"
	"praefect/consensus/session"
	"praefect/proxy/admin"
	"praefect/replicator/queue"
)

// control is all that operators may change; see [admin.Control].
type control struct {
	membership
	switching
	overriding
}

func newControl(w way, talks *session.Session, jobs queue.Queue) admin.Control {
	return control{
		membership: membership{node: w.node, way: w},
		switching:  switching{node: w.node, session: talks, way: w},
		overriding: overriding{node: w.node, jobs: jobs},
	}
}

// fingerprint is the same for instances whose settings have the same storages
// at the same addresses.
func fingerprint(cfg *config.Config) string {
	hash := sha256.New()
	for _, vs := range cfg.VirtualStorages {
		for _, node := range vs.Nodes {
			fmt.Fprintf(hash, "%q %q %q\n", vs.Name, node.Storage, node.Address) // a hash returns no error
		}
	}
	return hex.EncodeToString(hash.Sum(nil)[:8])
}
