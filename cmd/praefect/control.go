package main

import (
	"cmp"

	"praefect/config"
	"praefect/consensus/session"
	"praefect/proxy/admin"
	"praefect/replicator"
	"praefect/replicator/queue"
)

// control is all that operators may change; see [admin.Control].
type control struct {
	instances
	switching
	overriding
	removing
}

func newControl(w way, heartbeat *session.Session, jobs queue.Queue, repair *replicator.Replicator, copies int) admin.Control {
	return control{
		instances:  instances{node: w.node, session: heartbeat, way: w},
		switching:  switching{node: w.node, session: heartbeat, way: w, copies: copies},
		overriding: overriding{node: w.node, jobs: jobs, ended: repair.Ended, givenUp: repair.GivenUp, enqueue: repair.Enqueue, reconcile: repair.Reconcile},
		removing:   removing{node: w.node, session: heartbeat, way: w},
	}
}

// access tells which callers may change something: where no admin token was given out, the ones
// that can read the instance's data directory.
func access(cfg *config.Config) (admin.Access, error) {
	if token := cfg.Admin.Token.Reveal(); token != "" {
		return admin.Access{Token: token}, nil
	}
	local, err := admin.MakeLocalToken(cfg.Raft.DataDir)
	return admin.Access{Local: local}, err
}

// adminToken is the secret that proves to the instance with these settings that its operator asks.
func adminToken(cfg *config.Config) string {
	return cmp.Or(cfg.Admin.Token.Reveal(), admin.LocalToken(cfg.Raft.DataDir))
}
