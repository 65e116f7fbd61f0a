package proxy

import (
	"slices"

	"praefect/proxy/stream"
	"praefect/proxy/transaction"
)

// Why a replica is behind after a write, in upstream's words: the label of
// gitaly_praefect_tx_replications_total. A replica that has the write is counted as updated.
const (
	updated      = "updated"
	outdated     = "outdated"           // its storage was no destination of the write
	noVotes      = "no-votes"           // the method does not vote: only the primary has the write
	otherStatus  = "node-error-status"  // the call ended otherwise than at the primary, or was lost
	notCommitted = "node-not-committed" // its votes differed from the votes of the others
)

// replicas are the numbers of replicas by the reason.
type replicas map[string]int

// replicasOfVote judges each destination of a voted write that had an effect; total is how many
// storages the virtual storage has.
func replicasOfVote(total, destinations int, names, agreeing []string, votes transaction.Result, o stream.Outcome) replicas {
	n := replicas{outdated: max(0, total-destinations), otherStatus: destinations - len(names)}
	for i, name := range names[1:] {
		branch := o.Others[i]
		switch {
		case slices.Contains(agreeing, name):
			n[updated]++
		case !branch.Ended || !alike(branch.Err, o.Err):
			n[otherStatus]++
		case !votes.Voted:
			n[noVotes]++
		default:
			n[notCommitted]++
		}
	}
	return n
}

// replicated counts the replicas of a write beside the primary's.
func (m *metrics) replicated(n replicas) {
	for reason, count := range n {
		m.replications.WithLabelValues(reason).Add(float64(count))
	}
}

// storagesOf is how many storages a virtual storage has.
func (s *Server) storagesOf(virtualStorage string) int {
	vs := s.node.View().VirtualStorage(virtualStorage)
	if vs == nil {
		return 0
	}
	return len(vs.Succession)
}
