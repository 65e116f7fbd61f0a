package admin

import (
	"testing"

	"praefect/fsm/wire/wiretest"
)

// Every field of every document arrives, and every method of the .proto file is served as it says.
func TestRPCs_areThoseOfTheProtoFile(t *testing.T) {
	var tested []string
	for _, r := range []interface {
		Name() string
		travel(*testing.T)
	}{
		rpcStatus, rpcRaftStatus, rpcHistory, rpcDataloss, rpcQueueList, rpcExplain, rpcVerify, rpcRequestVerification,
		rpcVerificationWaiting, rpcLosses, rpcDiff, rpcRepositories, rpcImpact, rpcFigures, rpcShareConditions, rpcAddInstance,
		rpcRemoveInstance, rpcRetireInstance, rpcTransferLeadership, rpcUndrain, rpcRefill, rpcPause, rpcResume, rpcAcceptLoss,
		rpcRetryJobs, rpcDropJobs, rpcReconcile, rpcRemove, rpcPromote, rpcDrain, rpcSnapshot, rpcDebug,
	} {
		r.travel(t)
		tested = append(tested, r.Name())
	}
	wiretest.Served(t, service, serviceDesc(), tested)
}

func (r rpc[Request, Response]) travel(t *testing.T) {
	t.Helper()
	wiretest.Travel(t, r.Method, Schema)
}
