package proxy

import (
	"praefect/fsm/state"
	"praefect/proxy/router"
)

// Explanation tells where this instance sends the reads and writes of one repository.
type Explanation struct {
	router.Explanation
	// Index is that of the view by which it decides.
	Index state.Index
	// Leased tells that it has a lease. Without one it passes reads on to another
	// instance, and its writes wait.
	Leased bool
	// Paused tells that new writes wait for a switchover.
	Paused bool
	// Eventual tells that the settings have each write go to the primary alone.
	Eventual bool
}

// Explain routes a read and a write of a repository as a call that comes now.
func (s *Server) Explain(key state.Key) Explanation {
	view, leased := s.ledger.Reading()
	e := Explanation{
		Explanation: router.Explain(view, key, !s.cfg.Eventual, s.reachabilityOf(key.VirtualStorage)),
		Index:       view.Index, Leased: leased, Paused: s.ledger.Paused(key.VirtualStorage), Eventual: s.cfg.Eventual,
	}
	if s.cfg.RefuseConflicts {
		if err := router.RefuseConflict(view, key); err != nil {
			e.Explanation = router.Explanation{Rule: e.Rule, ReadRefused: err, WriteRefused: err}
		}
	}
	return e
}
