package admin

import (
	"cmp"
	"context"
	"net"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/fsm/condition"
)

// RaftStatus tells how the instances are.
func (s *Service) RaftStatus(ctx context.Context, _ RaftStatusRequest) (RaftStatusResponse, error) {
	if s.Control == nil {
		return RaftStatusResponse{}, errNoControl()
	}
	view, err := s.Control.Instances(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return RaftStatusResponse{}, status.FromContextError(ctx.Err()).Err()
		}
		return RaftStatusResponse{}, status.Error(codes.Unavailable, err.Error())
	}
	view.Instances = slices.SortedFunc(slices.Values(view.Instances), func(a, b Instance) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.ID, b.ID))
	})
	if view.Instances == nil {
		view.Instances = []Instance{}
	}
	conditions := s.ofInstances(ctx, view)
	return RaftStatusResponse{
		Schema: Schema, Instance: s.cfg.Instance, RaftView: view, CanLose: canLose(view),
		Health: condition.Worst(conditions), Conditions: conditions,
	}, nil
}

func (s *Service) addInstance(ctx context.Context, r AddRequest) (Done, error) {
	if err := s.prepare(ctx, &r.Change, "raft add "+r.Name); err != nil {
		return Done{}, err
	}
	if r.Name == "" {
		return Done{}, Errorf(Invalid, "no instance is named")
	}
	if host, port, err := net.SplitHostPort(r.Addr); err != nil || host == "" || port == "" {
		return Done{}, Errorf(Invalid, "%q is no address of a Raft port: want HOST:PORT", r.Addr)
	}
	done, err := s.Control.AddInstance(ctx, r)
	return s.finish(done, r.Change), asError(err)
}

func (s *Service) removeInstance(ctx context.Context, r RemoveRequest) (Done, error) {
	if err := s.prepare(ctx, &r.Change, "raft remove "+r.Name); err != nil {
		return Done{}, err
	}
	if r.Name == "" {
		return Done{}, Errorf(Invalid, "no instance is named")
	}
	done, err := s.Control.RemoveInstance(ctx, r)
	return s.finish(done, r.Change), asError(err)
}

func (s *Service) retireInstance(ctx context.Context, r RetireRequest) (Done, error) {
	if err := s.prepare(ctx, &r.Change, "raft retire "+r.Name); err != nil {
		return Done{}, err
	}
	if r.Name == "" {
		return Done{}, Errorf(Invalid, "no instance is named")
	}
	done, err := s.Control.RetireInstance(ctx, r)
	return s.finish(done, r.Change), asError(err)
}

func (s *Service) transferLeadership(ctx context.Context, r TransferRequest) (Done, error) {
	if err := s.prepare(ctx, &r.Change, "raft transfer "+r.Name); err != nil {
		return Done{}, err
	}
	done, err := s.Control.TransferLeadership(ctx, r)
	return s.finish(done, r.Change), asError(err)
}

func (s *Service) promote(ctx context.Context, r SwitchRequest, progress func(Progress)) (SwitchResponse, error) {
	if err := s.prepareSwitch(ctx, &r, "promote "+r.Storage); err != nil {
		return SwitchResponse{}, err
	}
	response, err := s.Control.Promote(ctx, r, progress)
	response.Done = s.finish(response.Done, r.Change)
	return response, asError(err)
}

func (s *Service) drain(ctx context.Context, r SwitchRequest, progress func(Progress)) (SwitchResponse, error) {
	if err := s.prepareSwitch(ctx, &r, "drain "+r.Storage); err != nil {
		return SwitchResponse{}, err
	}
	response, err := s.Control.Drain(ctx, r, progress)
	response.Done = s.finish(response.Done, r.Change)
	return response, asError(err)
}

// maxTime bounds the durations that a request may name.
const maxTime = 366 * 24 * time.Hour

func (s *Service) prepareSwitch(ctx context.Context, r *SwitchRequest, what string) error {
	if err := s.prepareOrPlan(ctx, &r.Change, what, r.DryRun); err != nil {
		return err
	}
	if r.TimeoutMillis < 0 || r.TimeoutMillis > maxTime.Milliseconds() {
		return Errorf(Invalid, "a timeout of %d ms: want 0 to %v", r.TimeoutMillis, maxTime)
	}
	return s.resolve(&r.VirtualStorage, r.Storage)
}

func (s *Service) undrain(ctx context.Context, r UndrainRequest) (Done, error) {
	if err := s.prepare(ctx, &r.Change, "undrain "+r.Storage); err != nil {
		return Done{}, err
	}
	if err := s.resolve(&r.VirtualStorage, r.Storage); err != nil {
		return Done{}, err
	}
	done, err := s.Control.Undrain(ctx, r)
	return s.finish(done, r.Change), asError(err)
}

func (s *Service) pause(ctx context.Context, r PauseRequest) (PauseResponse, error) {
	if err := s.prepare(ctx, &r.Change, "pause"); err != nil {
		return PauseResponse{}, err
	}
	if r.ForMillis < 0 || r.ForMillis > maxTime.Milliseconds() {
		return PauseResponse{}, Errorf(Invalid, "a pause of %d ms: want 0 (until resume) to %v", r.ForMillis, maxTime)
	}
	if err := exists(s.Node.View(), r.VirtualStorage); err != nil {
		return PauseResponse{}, err
	}
	response, err := s.Control.Pause(ctx, r)
	response.Done = s.finish(response.Done, r.Change)
	return response, asError(err)
}

func (s *Service) resume(ctx context.Context, r ResumeRequest) (PauseResponse, error) {
	if err := s.prepare(ctx, &r.Change, "resume"); err != nil {
		return PauseResponse{}, err
	}
	if err := exists(s.Node.View(), r.VirtualStorage); err != nil {
		return PauseResponse{}, err
	}
	response, err := s.Control.Resume(ctx, r)
	response.Done = s.finish(response.Done, r.Change)
	return response, asError(err)
}

// AcceptLoss declares one storage's replica of a repository the right one, if ctx,
// that of a call, shows that the caller may have it.
func (s *Service) AcceptLoss(ctx context.Context, r AcceptLossRequest) (Done, error) {
	if err := s.prepare(ctx, &r.Change, "accept-dataloss"); err != nil {
		return Done{}, err
	}
	if r.VirtualStorage == "" || r.RelativePath == "" {
		return Done{}, Errorf(Invalid, "no repository is named: it takes a virtual storage and a relative path")
	}
	if err := s.resolve(&r.VirtualStorage, r.Storage); err != nil {
		return Done{}, err
	}
	done, err := s.Control.AcceptLoss(ctx, r)
	return s.finish(done, r.Change), asError(err)
}

func (s *Service) retryJobs(ctx context.Context, r RetryRequest) (RetryResponse, error) {
	if err := s.prepare(ctx, &r.Change, "queue retry"); err != nil {
		return RetryResponse{}, err
	}
	if err := exists(s.Node.View(), r.VirtualStorage); err != nil {
		return RetryResponse{}, err
	}
	response, err := s.Control.RetryJobs(ctx, r)
	response.Done = s.finish(response.Done, r.Change)
	return response, asError(err)
}
