package admin

import (
	"google.golang.org/grpc"

	"praefect/fsm/wire"
	"praefect/proxy/admin/adminpb"
)

// service is praefect.admin.v1.AdminService, as the .proto files describe it.
var service = adminpb.File_proxy_admin_adminpb_service_proto.Services().ByName("AdminService")

// The methods of the service, each with the structs that its messages are made of.
var (
	rpcStatus              = method[StatusRequest, StatusResponse]("Status")
	rpcRaftStatus          = method[RaftStatusRequest, RaftStatusResponse]("RaftStatus")
	rpcHistory             = method[HistoryRequest, HistoryResponse]("History")
	rpcDataloss            = method[DatalossRequest, DatalossResponse]("Dataloss")
	rpcQueueList           = method[QueueListRequest, QueueListResponse]("QueueList")
	rpcExplain             = method[ExplainRequest, ExplainResponse]("Explain")
	rpcVerify              = method[VerifyRequest, VerifyResponse]("Verify")
	rpcRequestVerification = method[RequestVerificationRequest, RequestVerificationResponse]("RequestVerification")
	rpcVerificationWaiting = method[VerificationWaitingRequest, VerificationWaitingResponse]("VerificationWaiting")
	rpcLosses              = method[LossesRequest, LossesResponse]("Losses")
	rpcDiff                = method[DiffRequest, DiffResponse]("Diff")
	rpcRepositories        = method[RepositoriesRequest, RepositoriesResponse]("Repositories")
	rpcImpact              = method[ImpactRequest, ImpactResponse]("Impact")
	rpcFigures             = method[FiguresRequest, FiguresResponse]("Figures")
	rpcShareConditions     = method[ShareConditionsRequest, ShareConditionsResponse]("ShareConditions")
	rpcAddInstance         = method[AddRequest, Done]("AddInstance")
	rpcRemoveInstance      = method[RemoveRequest, Done]("RemoveInstance")
	rpcRetireInstance      = method[RetireRequest, Done]("RetireInstance")
	rpcTransferLeadership  = method[TransferRequest, Done]("TransferLeadership")
	rpcUndrain             = method[UndrainRequest, Done]("Undrain")
	rpcRefill              = method[RefillRequest, RefillResponse]("Refill")
	rpcPause               = method[PauseRequest, PauseResponse]("Pause")
	rpcResume              = method[ResumeRequest, PauseResponse]("Resume")
	rpcAcceptLoss          = method[AcceptLossRequest, Done]("AcceptLoss")
	rpcRetryJobs           = method[RetryRequest, RetryResponse]("RetryJobs")
	rpcDropJobs            = method[DropRequest, DropResponse]("DropJobs")
	rpcReconcile           = method[ReconcileRequest, ReconcileResponse]("Reconcile")
	rpcRemove              = method[RemovalRequest, RemovalResponse]("Remove")

	rpcPromote  = method[switchCall, switchReport]("Promote")
	rpcDrain    = method[switchCall, switchReport]("Drain")
	rpcSnapshot = method[SnapshotRequest, snapshotPart]("Snapshot")
	rpcDebug    = method[DebugRequest, debugPart]("Debug")
)

// serviceDesc describes the service to gRPC, as protoc would.
func serviceDesc() *grpc.ServiceDesc {
	return &grpc.ServiceDesc{
		ServiceName: string(service.FullName()),
		HandlerType: (*any)(nil),
		Metadata:    service.ParentFile().Path(),
		Methods: []grpc.MethodDesc{
			unary(rpcStatus, (*Service).Status),
			unary(rpcRaftStatus, (*Service).RaftStatus),
			unary(rpcHistory, (*Service).History),
			unary(rpcDataloss, (*Service).Dataloss),
			unary(rpcQueueList, (*Service).QueueList),
			unary(rpcExplain, (*Service).Explain),
			unary(rpcVerify, (*Service).Verify),
			unary(rpcRequestVerification, (*Service).requestVerification),
			unary(rpcVerificationWaiting, (*Service).verificationWaiting),
			unary(rpcLosses, (*Service).Losses),
			unary(rpcDiff, (*Service).diff),
			unary(rpcRepositories, (*Service).repositories),
			unary(rpcImpact, (*Service).impact),
			unary(rpcFigures, (*Service).figures),
			unary(rpcShareConditions, (*Service).shareConditions),
			unary(rpcAddInstance, (*Service).addInstance),
			unary(rpcRemoveInstance, (*Service).removeInstance),
			unary(rpcRetireInstance, (*Service).retireInstance),
			unary(rpcTransferLeadership, (*Service).transferLeadership),
			unary(rpcUndrain, (*Service).undrain),
			unary(rpcRefill, (*Service).refill),
			unary(rpcPause, (*Service).pause),
			unary(rpcResume, (*Service).resume),
			unary(rpcAcceptLoss, (*Service).AcceptLoss),
			unary(rpcRetryJobs, (*Service).retryJobs),
			unary(rpcDropJobs, (*Service).dropJobs),
			unary(rpcReconcile, (*Service).reconcile),
			unary(rpcRemove, (*Service).remove),
		},
		Streams: []grpc.StreamDesc{
			rpcPromote.serve(switching(rpcPromote, (*Service).promote)),
			rpcDrain.serve(switching(rpcDrain, (*Service).drain)),
			rpcSnapshot.serve((*Service).snapshot),
			rpcDebug.serve((*Service).debug),
		},
	}
}

// rpc is one method of the service.
type rpc[Request, Response any] struct {
	wire.Method[Request, Response]
}

func method[Request, Response any](name string) rpc[Request, Response] {
	return rpc[Request, Response]{wire.MethodOf[Request, Response](service, name, map[string]any{"schema": Schema})}
}
