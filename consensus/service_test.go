package consensus

import (
	"testing"

	"praefect/consensus/peer/peerpb"
	"praefect/fsm/wire/wiretest"
)

// Every field of these messages between instances arrives, and the service is served as its .proto
// files describe it; package membership has a test for the messages of the other methods.
func TestService_isThatOfTheProtoFile(t *testing.T) {
	wiretest.Travel(t, callPropose.Method, 0)
	wiretest.Travel(t, callLease.Method, 0)
	service := peerpb.File_consensus_peer_peerpb_service_proto.Services().ByName("PeerService")
	wiretest.Served(t, service, new(Node).service(), []string{"Introduce", "Join", "Propose", "Status", "Lease"})
}
