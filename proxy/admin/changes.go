package admin

import (
	"cmp"
	"context"
	"net"
	"slices"
	"strings"
	"time"

	"praefect/fsm/condition"
)

// RaftStatus tells how the instances are.
func (s *Service) RaftStatus(ctx context.Context, _ RaftStatusRequest) (RaftStatusResponse, error) {
	if s.Control == nil {
		return RaftStatusResponse{}, errNoControl()
	}
	view, err := s.Control.Instances(ctx)
	if err != nil {
		return RaftStatusResponse{}, away(ctx, err)
	}
	view.Instances = orNone(slices.SortedFunc(slices.Values(view.Instances), func(a, b Instance) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.ID, b.ID))
	}))
	conditions := s.ofInstances(ctx, view)
	return RaftStatusResponse{
		Schema: Schema, Instance: s.cfg.Instance, RaftView: view, CanLose: canLose(view),
		Health: condition.Worst(conditions), Conditions: conditions,
	}, nil
}

// answerOf is a pointer to the answer of a change.
type answerOf[Response any] interface {
	*Response
	head() *Done
}

// changed judges a request for a change, its caller and its form, and has it carried out. what is
// the request in the words of an operator, plan tells that it changes nothing, and judge, if it is
// not nil, says what else is wrong with it.
func changed[Response any, Answer answerOf[Response]](ctx context.Context, s *Service, c *Change, what string, plan bool, judge func() error, carryOut func() (Response, error)) (response Response, err error) {
	if err := s.prepare(ctx, c, what, plan); err != nil {
		return response, err
	}
	if judge != nil {
		if err := judge(); err != nil {
			return response, err
		}
	}
	response, err = carryOut()
	done := Answer(&response).head()
	done.Schema, done.Instance, done.RequestID = Schema, s.cfg.Instance, c.RequestID
	return response, asError(err)
}

// named refuses a request that names no instance.
func named(instance string) error {
	if instance == "" {
		return Errorf(Invalid, "no instance is named")
	}
	return nil
}

func (s *Service) addInstance(ctx context.Context, r AddRequest) (Done, error) {
	return changed(ctx, s, &r.Change, "raft add "+r.Name, false, func() error {
		if host, port, err := net.SplitHostPort(r.Addr); r.Name != "" && (err != nil || host == "" || port == "") {
			return Errorf(Invalid, "%q is no address of a Raft port: want HOST:PORT", r.Addr)
		}
		return named(r.Name)
	}, func() (Done, error) { return s.Control.AddInstance(ctx, r) })
}

func (s *Service) removeInstance(ctx context.Context, r RemoveRequest) (Done, error) {
	return changed(ctx, s, &r.Change, "raft remove "+r.Name, false, func() error { return named(r.Name) },
		func() (Done, error) { return s.Control.RemoveInstance(ctx, r) })
}

func (s *Service) retireInstance(ctx context.Context, r RetireRequest) (Done, error) {
	return changed(ctx, s, &r.Change, "raft retire "+r.Name, false, func() error { return named(r.Name) },
		func() (Done, error) { return s.Control.RetireInstance(ctx, r) })
}

func (s *Service) transferLeadership(ctx context.Context, r TransferRequest) (Done, error) {
	return changed(ctx, s, &r.Change, "raft transfer "+r.Name, false, nil,
		func() (Done, error) { return s.Control.TransferLeadership(ctx, r) })
}

func (s *Service) promote(ctx context.Context, r SwitchRequest, progress func(Progress)) (SwitchResponse, error) {
	return changed(ctx, s, &r.Change, "promote "+r.Storage, r.DryRun, func() error { return s.judgeSwitch(&r) },
		func() (SwitchResponse, error) { return s.Control.Promote(ctx, r, progress) })
}

func (s *Service) drain(ctx context.Context, r SwitchRequest, progress func(Progress)) (SwitchResponse, error) {
	return changed(ctx, s, &r.Change, "drain "+r.Storage, r.DryRun, func() error { return s.judgeSwitch(&r) },
		func() (SwitchResponse, error) { return s.Control.Drain(ctx, r, progress) })
}

// maxTime bounds the durations that a request may name.
const maxTime = 366 * 24 * time.Hour

func (s *Service) judgeSwitch(r *SwitchRequest) error {
	if r.TimeoutMillis < 0 || r.TimeoutMillis > maxTime.Milliseconds() {
		return Errorf(Invalid, "a timeout of %d ms: want 0 to %v", r.TimeoutMillis, maxTime)
	}
	return s.resolve(&r.VirtualStorage, r.Storage)
}

func (s *Service) undrain(ctx context.Context, r UndrainRequest) (Done, error) {
	return changed(ctx, s, &r.Change, "undrain "+r.Storage, false, func() error { return s.resolve(&r.VirtualStorage, r.Storage) },
		func() (Done, error) { return s.Control.Undrain(ctx, r) })
}

func (s *Service) pause(ctx context.Context, r PauseRequest) (PauseResponse, error) {
	return changed(ctx, s, &r.Change, "pause", false, func() error {
		if r.ForMillis < 0 || r.ForMillis > maxTime.Milliseconds() {
			return Errorf(Invalid, "a pause of %d ms: want 0 (until resume) to %v", r.ForMillis, maxTime)
		}
		return exists(s.Node.View(), r.VirtualStorage)
	}, func() (PauseResponse, error) { return s.Control.Pause(ctx, r) })
}

func (s *Service) resume(ctx context.Context, r ResumeRequest) (PauseResponse, error) {
	return changed(ctx, s, &r.Change, "resume", false, func() error { return exists(s.Node.View(), r.VirtualStorage) },
		func() (PauseResponse, error) { return s.Control.Resume(ctx, r) })
}

// AcceptLoss declares one storage's replica of a repository the right one, if ctx,
// that of a call, shows that the caller may have it.
func (s *Service) AcceptLoss(ctx context.Context, r AcceptLossRequest) (Done, error) {
	return changed(ctx, s, &r.Change, "accept-dataloss", false, func() error {
		if r.VirtualStorage == "" || r.RelativePath == "" {
			return Errorf(Invalid, "no repository is named: it takes a virtual storage and a relative path")
		}
		return s.resolve(&r.VirtualStorage, r.Storage)
	}, func() (Done, error) { return s.Control.AcceptLoss(ctx, r) })
}

func (s *Service) retryJobs(ctx context.Context, r RetryRequest) (RetryResponse, error) {
	return changed(ctx, s, &r.Change, "queue retry", false, func() error { return exists(s.Node.View(), r.VirtualStorage) },
		func() (RetryResponse, error) { return s.Control.RetryJobs(ctx, r) })
}
