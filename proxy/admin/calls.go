package admin

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/types/known/wrapperspb"
)

// Status asks how the virtual storages are. The request's schema is set by the
// client, here and below; errors of questions are gRPC statuses.
func (c *Client) Status(ctx context.Context, request StatusRequest) (StatusResponse, error) {
	request.Schema = Schema
	return ask[StatusResponse](ctx, c, "Status", request)
}

// RaftStatus asks how the instances are.
func (c *Client) RaftStatus(ctx context.Context) (RaftStatusResponse, error) {
	return ask[RaftStatusResponse](ctx, c, "RaftStatus", RaftStatusRequest{Schema: Schema})
}

// History asks for the changes of the virtual storages.
func (c *Client) History(ctx context.Context, request HistoryRequest) (HistoryResponse, error) {
	request.Schema = Schema
	return ask[HistoryResponse](ctx, c, "History", request)
}

// Dataloss asks for one page of repositories of which a storage is behind.
func (c *Client) Dataloss(ctx context.Context, request DatalossRequest) (DatalossResponse, error) {
	request.Schema = Schema
	return ask[DatalossResponse](ctx, c, "Dataloss", request)
}

// QueueList asks for one page of replication jobs.
func (c *Client) QueueList(ctx context.Context, request QueueListRequest) (QueueListResponse, error) {
	request.Schema = Schema
	return ask[QueueListResponse](ctx, c, "QueueList", request)
}

// Explain asks for everything that is known of one repository.
func (c *Client) Explain(ctx context.Context, request ExplainRequest) (ExplainResponse, error) {
	request.Schema = Schema
	return ask[ExplainResponse](ctx, c, "Explain", request)
}

// Verify has one repository verified.
func (c *Client) Verify(ctx context.Context, request VerifyRequest) (VerifyResponse, error) {
	request.Schema = Schema
	return ask[VerifyResponse](ctx, c, "Verify", request)
}

// RequestVerification has the repositories of a virtual storage verified before all others.
func (c *Client) RequestVerification(ctx context.Context, request RequestVerificationRequest) (RequestVerificationResponse, error) {
	request.Schema = Schema
	return ask[RequestVerificationResponse](ctx, c, "RequestVerification", request)
}

// VerificationWaiting asks how many requested verifications are left.
func (c *Client) VerificationWaiting(ctx context.Context, request VerificationWaitingRequest) (VerificationWaitingResponse, error) {
	request.Schema = Schema
	return ask[VerificationWaitingResponse](ctx, c, "VerificationWaiting", request)
}

func ask[Response any](ctx context.Context, c *Client, name string, request any) (Response, error) {
	var response Response
	in, err := encode(request)
	if err != nil {
		return response, err
	}
	out := &wrapperspb.BytesValue{}
	if err := c.cc.Invoke(ctx, fullMethod(name), in, out); err != nil {
		return response, err
	}
	if err := decode(out.GetValue(), &response); err != nil {
		return response, fmt.Errorf("read the answer of %s: %w", name, err)
	}
	return response, nil
}

// Instances implements Membership.
func (c *Client) Instances(ctx context.Context) (RaftView, error) {
	response, err := c.RaftStatus(ctx)
	return response.RaftView, err
}

// AddInstance implements Membership.
func (c *Client) AddInstance(ctx context.Context, request AddRequest) (Done, error) {
	request.Schema = Schema
	return change[Done](ctx, c, "AddInstance", request)
}

// RemoveInstance implements Membership.
func (c *Client) RemoveInstance(ctx context.Context, request RemoveRequest) (Done, error) {
	request.Schema = Schema
	return change[Done](ctx, c, "RemoveInstance", request)
}

// RetireInstance implements Membership.
func (c *Client) RetireInstance(ctx context.Context, request RetireRequest) (Done, error) {
	request.Schema = Schema
	return change[Done](ctx, c, "RetireInstance", request)
}

// TransferLeadership implements Membership.
func (c *Client) TransferLeadership(ctx context.Context, request TransferRequest) (Done, error) {
	request.Schema = Schema
	return change[Done](ctx, c, "TransferLeadership", request)
}

// Promote implements Switching.
func (c *Client) Promote(ctx context.Context, request SwitchRequest, progress func(Progress)) (SwitchResponse, error) {
	return c.switchover(ctx, "Promote", request, progress)
}

// Drain implements Switching.
func (c *Client) Drain(ctx context.Context, request SwitchRequest, progress func(Progress)) (SwitchResponse, error) {
	return c.switchover(ctx, "Drain", request, progress)
}

// Undrain implements Overriding.
func (c *Client) Undrain(ctx context.Context, request UndrainRequest) (Done, error) {
	request.Schema = Schema
	return change[Done](ctx, c, "Undrain", request)
}

// Refill implements Overriding.
func (c *Client) Refill(ctx context.Context, request RefillRequest) (RefillResponse, error) {
	request.Schema = Schema
	return change[RefillResponse](ctx, c, "Refill", request)
}

// Pause implements Overriding.
func (c *Client) Pause(ctx context.Context, request PauseRequest) (PauseResponse, error) {
	request.Schema = Schema
	return change[PauseResponse](ctx, c, "Pause", request)
}

// Resume implements Overriding.
func (c *Client) Resume(ctx context.Context, request ResumeRequest) (PauseResponse, error) {
	request.Schema = Schema
	return change[PauseResponse](ctx, c, "Resume", request)
}

// AcceptLoss implements Overriding.
func (c *Client) AcceptLoss(ctx context.Context, request AcceptLossRequest) (Done, error) {
	request.Schema = Schema
	return change[Done](ctx, c, "AcceptLoss", request)
}

// Remove implements Removing.
func (c *Client) Remove(ctx context.Context, request RemovalRequest) (RemovalResponse, error) {
	request.Schema = Schema
	return change[RemovalResponse](ctx, c, "Remove", request)
}

// RetryJobs implements Overriding.
func (c *Client) RetryJobs(ctx context.Context, request RetryRequest) (RetryResponse, error) {
	request.Schema = Schema
	return change[RetryResponse](ctx, c, "RetryJobs", request)
}
