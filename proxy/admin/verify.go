package admin

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/fsm/state"
)

// Verification lets the service have replicas verified.
type Verification interface {
	// Verify compares the replicas of one repository with its primary's now, and has their objects
	// checked. ErrNoRepository says that no storage has it.
	Verify(ctx context.Context, key state.Key) (VerifyResponse, error)
	// Request has the repositories of a virtual storage verified before all others, and returns
	// their number. With a storage, it is only forgotten when that one's were verified.
	Request(ctx context.Context, virtualStorage, storage string) (repositories int64, err error)
	// Count tells how many repositories the virtual storage has.
	Count(ctx context.Context, virtualStorage string) (int, error)
	// Requested tells how many of them are requested and not yet verified, as far as WaitingLimit.
	Requested(ctx context.Context, virtualStorage string) (int, error)
}

// WaitingLimit is how far requested verifications are counted.
const WaitingLimit = 100_000

// ErrNoRepository says that no storage has the repository.
var ErrNoRepository = errors.New("no storage that was asked has the repository")

// VerifyRequest asks for the verification of one repository.
type VerifyRequest struct {
	// VirtualStorage may be empty if there is only one.
	VirtualStorage string `json:"virtual_storage,omitempty"`
	RelativePath   string `json:"relative_path"`
}

// ReplicaResult is the finding of a verification about one replica.
type ReplicaResult string

// The results of a verification.
const (
	// ReplicaAlike: it is as the primary's, or is the primary's and sound.
	ReplicaAlike ReplicaResult = "alike"
	// ReplicaDiffers: it differs, or is damaged, and the ledger has no reason for it.
	ReplicaDiffers ReplicaResult = "differs"
	// ReplicaUnknown: its storage could not tell.
	ReplicaUnknown ReplicaResult = "unknown"
	// ReplicaSkipped: its storage does not serve or is behind, so that it was not compared.
	ReplicaSkipped ReplicaResult = "not compared"
)

// VerifiedReplica is one replica in a VerifyResponse.
type VerifiedReplica struct {
	Storage string        `json:"storage"`
	Result  ReplicaResult `json:"result"`
	// Checked tells that git checked its objects.
	Checked bool `json:"checked,omitempty"`
	// What names the difference, or the reason why it is not known.
	What string `json:"what,omitempty"`
}

// VerifyResponse tells the findings of a verification.
type VerifyResponse struct {
	Schema         int    `json:"schema"`
	Instance       string `json:"instance"`
	VirtualStorage string `json:"virtual_storage"`
	RelativePath   string `json:"relative_path"`
	// Primary is the storage that the others were compared with.
	Primary  string            `json:"primary"`
	Replicas []VerifiedReplica `json:"replicas"`
	// Undecided says why the replicas could not be judged, empty if they could.
	Undecided string `json:"undecided,omitempty"`
	// NotNoted says why the time could not be noted in Postgres, empty if it was.
	NotNoted string `json:"not_noted,omitempty"`
}

// RequestVerificationRequest asks for the verification of all repositories of a virtual storage.
type RequestVerificationRequest struct {
	VirtualStorage string `json:"virtual_storage"`
	// Storage limits to one storage the results that are forgotten.
	Storage string `json:"storage,omitempty"`
	// DryRun counts, and requests nothing.
	DryRun bool `json:"dry_run,omitempty"`
}

// RequestVerificationResponse tells the number of these repositories.
type RequestVerificationResponse struct {
	Schema       int    `json:"schema"`
	Instance     string `json:"instance"`
	Repositories int64  `json:"repositories"`
}

// VerificationWaitingRequest asks how many requested verifications are left.
type VerificationWaitingRequest struct {
	VirtualStorage string `json:"virtual_storage"`
}

// VerificationWaitingResponse tells it, as far as WaitingLimit.
type VerificationWaitingResponse struct {
	Schema    int    `json:"schema"`
	Instance  string `json:"instance"`
	Requested int    `json:"requested"`
}

// Verify verifies one repository.
func (s *Service) Verify(ctx context.Context, r VerifyRequest) (VerifyResponse, error) {
	view := s.Node.View()
	switch {
	case s.Verification == nil:
		return VerifyResponse{}, errNoControl()
	case r.RelativePath == "":
		return VerifyResponse{}, Errorf(Invalid, "no repository is named")
	case r.VirtualStorage == "" && len(view.VirtualStorages) == 1:
		r.VirtualStorage = view.VirtualStorages[0].Name
	case r.VirtualStorage == "":
		return VerifyResponse{}, Errorf(Invalid, "there are %d virtual storages: name one", len(view.VirtualStorages))
	}
	if err := exists(view, r.VirtualStorage); err != nil {
		return VerifyResponse{}, err
	}
	found, err := s.Verification.Verify(ctx, state.Key{VirtualStorage: r.VirtualStorage, RelativePath: r.RelativePath})
	switch {
	case errors.Is(err, ErrNoRepository):
		return VerifyResponse{}, Errorf(NotFound, "no storage that was asked has %q of %q", r.RelativePath, r.VirtualStorage)
	case err != nil:
		return VerifyResponse{}, away(ctx, err)
	}
	found.Schema, found.Instance, found.VirtualStorage, found.RelativePath = Schema, s.cfg.Instance, r.VirtualStorage, r.RelativePath
	return found, nil
}

func (s *Service) requestVerification(ctx context.Context, r RequestVerificationRequest) (RequestVerificationResponse, error) {
	answer := RequestVerificationResponse{Schema: Schema, Instance: s.cfg.Instance}
	vs := s.Node.View().VirtualStorage(r.VirtualStorage)
	switch {
	case s.Verification == nil:
		return answer, errNoControl()
	case vs == nil:
		return answer, Errorf(NotFound, "no virtual storage %q", r.VirtualStorage)
	case r.Storage != "" && vs.Storage(r.Storage) == nil:
		return answer, Errorf(NotFound, "no storage %q in %q", r.Storage, r.VirtualStorage)
	}
	if r.DryRun {
		n, err := s.Verification.Count(ctx, r.VirtualStorage)
		answer.Repositories = int64(n)
		return answer, away(ctx, err)
	}
	n, err := s.Verification.Request(ctx, r.VirtualStorage, r.Storage)
	answer.Repositories = n
	return answer, away(ctx, err)
}

func (s *Service) verificationWaiting(ctx context.Context, r VerificationWaitingRequest) (VerificationWaitingResponse, error) {
	answer := VerificationWaitingResponse{Schema: Schema, Instance: s.cfg.Instance}
	if s.Verification == nil {
		return answer, errNoControl()
	}
	if err := exists(s.Node.View(), r.VirtualStorage); err != nil {
		return answer, err
	}
	requested, err := s.Verification.Requested(ctx, r.VirtualStorage)
	answer.Requested = requested
	return answer, away(ctx, err)
}

// away is the status of a question that Postgres or a storage could not answer.
func away(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return status.FromContextError(ctx.Err()).Err()
	}
	return status.Error(codes.Unavailable, err.Error())
}
