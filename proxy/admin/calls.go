package admin

import "context"

// Status asks how the virtual storages are. Errors of questions, here and below,
// are gRPC statuses.
func (c *Client) Status(ctx context.Context, request StatusRequest) (StatusResponse, error) {
	return ask(ctx, c, rpcStatus, request)
}

// RaftStatus asks how the instances are.
func (c *Client) RaftStatus(ctx context.Context) (RaftStatusResponse, error) {
	return ask(ctx, c, rpcRaftStatus, RaftStatusRequest{})
}

// History asks for the changes of the virtual storages.
func (c *Client) History(ctx context.Context, request HistoryRequest) (HistoryResponse, error) {
	return ask(ctx, c, rpcHistory, request)
}

// Dataloss asks for one page of repositories of which a storage is behind.
func (c *Client) Dataloss(ctx context.Context, request DatalossRequest) (DatalossResponse, error) {
	return ask(ctx, c, rpcDataloss, request)
}

// QueueList asks for one page of replication jobs.
func (c *Client) QueueList(ctx context.Context, request QueueListRequest) (QueueListResponse, error) {
	return ask(ctx, c, rpcQueueList, request)
}

// Explain asks for everything that is known of one repository.
func (c *Client) Explain(ctx context.Context, request ExplainRequest) (ExplainResponse, error) {
	return ask(ctx, c, rpcExplain, request)
}

// Verify has one repository verified.
func (c *Client) Verify(ctx context.Context, request VerifyRequest) (VerifyResponse, error) {
	return ask(ctx, c, rpcVerify, request)
}

// RequestVerification has the repositories of a virtual storage verified before all others.
func (c *Client) RequestVerification(ctx context.Context, request RequestVerificationRequest) (RequestVerificationResponse, error) {
	return ask(ctx, c, rpcRequestVerification, request)
}

// VerificationWaiting asks how many requested verifications are left.
func (c *Client) VerificationWaiting(ctx context.Context, request VerificationWaitingRequest) (VerificationWaitingResponse, error) {
	return ask(ctx, c, rpcVerificationWaiting, request)
}

// ask makes a call that changes nothing.
func ask[Request, Response any](ctx context.Context, c *Client, r rpc[Request, Response], request Request) (Response, error) {
	out := r.Response().New()
	if err := c.cc.Invoke(ctx, r.Path(), r.Request().Write(request), out); err != nil {
		var none Response
		return none, err
	}
	return r.Response().Read(out), nil
}

// Instances implements Membership.
func (c *Client) Instances(ctx context.Context) (RaftView, error) {
	response, err := c.RaftStatus(ctx)
	return response.RaftView, err
}

// AddInstance implements Membership.
func (c *Client) AddInstance(ctx context.Context, request AddRequest) (Done, error) {
	return change(ctx, c, rpcAddInstance, request)
}

// RemoveInstance implements Membership.
func (c *Client) RemoveInstance(ctx context.Context, request RemoveRequest) (Done, error) {
	return change(ctx, c, rpcRemoveInstance, request)
}

// RetireInstance implements Membership.
func (c *Client) RetireInstance(ctx context.Context, request RetireRequest) (Done, error) {
	return change(ctx, c, rpcRetireInstance, request)
}

// TransferLeadership implements Membership.
func (c *Client) TransferLeadership(ctx context.Context, request TransferRequest) (Done, error) {
	return change(ctx, c, rpcTransferLeadership, request)
}

// Promote implements Switching.
func (c *Client) Promote(ctx context.Context, request SwitchRequest, progress func(Progress)) (SwitchResponse, error) {
	return c.switchover(ctx, rpcPromote, request, progress)
}

// Drain implements Switching.
func (c *Client) Drain(ctx context.Context, request SwitchRequest, progress func(Progress)) (SwitchResponse, error) {
	return c.switchover(ctx, rpcDrain, request, progress)
}

// Undrain implements Overriding.
func (c *Client) Undrain(ctx context.Context, request UndrainRequest) (Done, error) {
	return change(ctx, c, rpcUndrain, request)
}

// Refill implements Overriding.
func (c *Client) Refill(ctx context.Context, request RefillRequest) (RefillResponse, error) {
	return change(ctx, c, rpcRefill, request)
}

// Pause implements Overriding.
func (c *Client) Pause(ctx context.Context, request PauseRequest) (PauseResponse, error) {
	return change(ctx, c, rpcPause, request)
}

// Resume implements Overriding.
func (c *Client) Resume(ctx context.Context, request ResumeRequest) (PauseResponse, error) {
	return change(ctx, c, rpcResume, request)
}

// AcceptLoss implements Overriding.
func (c *Client) AcceptLoss(ctx context.Context, request AcceptLossRequest) (Done, error) {
	return change(ctx, c, rpcAcceptLoss, request)
}

// Remove implements Removing.
func (c *Client) Remove(ctx context.Context, request RemovalRequest) (RemovalResponse, error) {
	return change(ctx, c, rpcRemove, request)
}

// RetryJobs implements Overriding.
func (c *Client) RetryJobs(ctx context.Context, request RetryRequest) (RetryResponse, error) {
	return change(ctx, c, rpcRetryJobs, request)
}
