package gitaly

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/test/gitaly/internal/wire"
)

const (
	defaultBranch       = "refs/heads/main"
	legacyDefaultBranch = "refs/heads/master"

	zeroOID = "0000000000000000000000000000000000000000"
)

// WriteRef sets, makes or deletes (revision of 40 zeros) a reference, if it
// has the old value where one is given; or makes HEAD name another branch.
func (h *handlers) WriteRef(ctx context.Context, req *gitalypb.WriteRefRequest) (*gitalypb.WriteRefResponse, error) {
	repo, err := h.existing(req.GetRepository())
	if err != nil {
		return nil, err
	}
	ref, revision, old := string(req.GetRef()), string(req.GetRevision()), string(req.GetOldRevision())
	if err := wire.CheckRevision(ref); err != nil {
		return nil, wire.Fault(err, "invalid ref")
	}
	if err := wire.CheckRevision(revision); err != nil {
		return nil, wire.Fault(err, "invalid revision")
	}
	if old != "" {
		if err := wire.CheckRevision(old); err != nil {
			return nil, wire.Fault(err, "invalid OldRevision")
		}
	}
	switch {
	case ref == "HEAD":
		return wire.Answer(&gitalypb.WriteRefResponse{}, wire.Fault(repo.setHead(ctx, revision), "setting default branch"))
	case !strings.HasPrefix(ref, "refs/"):
		return nil, wire.InvalidArgument("ref has to be a full reference")
	}
	if revision, err = repo.object(ctx, revision); err != nil {
		return nil, wire.Fault(err, "resolving new revision")
	}
	if old != "" {
		if old, err = repo.object(ctx, old); err != nil {
			return nil, wire.Fault(err, "resolving old revision")
		}
	}
	return wire.Answer(&gitalypb.WriteRefResponse{}, wire.Fault(repo.updateRef(ctx, ref, revision, old), "error when running update-ref command"))
}

// object returns the id of the object that the revision leads to; the zero id
// stays. A revision that leads nowhere is NotFound.
func (r *repository) object(ctx context.Context, revision string) (string, error) {
	if revision == zeroOID {
		return revision, nil
	}
	oid, err := r.resolve(ctx, revision+"^{object}")
	if err == nil && oid == "" {
		missing, err := status.New(codes.NotFound, "reference not found").
			WithDetails(&gitalypb.ReferenceNotFoundError{ReferenceName: []byte(revision)})
		if err != nil {
			return "", fmt.Errorf("describe missing reference: %w", err)
		}
		return "", missing.Err()
	}
	return oid, err
}

// resolve returns the id that the revision leads to, "" if it leads nowhere.
func (r *repository) resolve(ctx context.Context, revision string) (string, error) {
	out, err := r.output(ctx, "rev-parse", "--verify", "--quiet", "--end-of-options", revision)
	if failed, ok := errors.AsType[*gitError](err); ok && failed.code == 1 {
		return "", nil
	}
	return strings.TrimSpace(string(out)), err
}

// updateRef sets a reference (deletes it if oid is zero) if its value is old:
// "" for any, zero for none. No storage votes on the deletion of any value.
func (r *repository) updateRef(ctx context.Context, ref, oid, old string) error {
	return r.git.run(ctx, r.refUpdate(ref, oid, old))
}

func (r *repository) refUpdate(ref, oid, old string) command {
	args := []string{"update-ref", "--no-deref"}
	if oid == zeroOID {
		args = append(args, "-d", ref)
	} else {
		args = append(args, ref, oid)
	}
	if old != "" {
		args = append(args, old)
	}
	return command{repo: r, args: args}
}

// RefExists reports whether there is a reference of that full name.
func (h *handlers) RefExists(ctx context.Context, req *gitalypb.RefExistsRequest) (*gitalypb.RefExistsResponse, error) {
	repo, err := h.existing(req.GetRepository())
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(string(req.GetRef()), "refs/") {
		return nil, wire.InvalidArgument("invalid refname")
	}
	exists, err := repo.refExists(ctx, string(req.GetRef()))
	if err != nil {
		return nil, wire.Fault(err, "look up reference")
	}
	return &gitalypb.RefExistsResponse{Value: exists}, nil
}

func (r *repository) refExists(ctx context.Context, ref string) (bool, error) {
	_, err := r.output(ctx, "show-ref", "--verify", "--quiet", "--", ref)
	if failed, ok := errors.AsType[*gitError](err); ok && failed.code == 1 {
		return false, nil
	}
	return err == nil, err
}

// FindDefaultBranchName returns the branch that HEAD names, existing or not;
// unless only that is asked for it must exist, else main, master and the first
// branch are tried, and no branch gives no name.
func (h *handlers) FindDefaultBranchName(ctx context.Context, req *gitalypb.FindDefaultBranchNameRequest) (*gitalypb.FindDefaultBranchNameResponse, error) {
	repo, err := h.existing(req.GetRepository())
	if err != nil {
		return nil, err
	}
	out, err := repo.output(ctx, "symbolic-ref", "HEAD")
	if err != nil {
		return nil, wire.Fault(err, "head reference")
	}
	head := strings.TrimSpace(string(out))
	if req.GetHeadOnly() {
		return &gitalypb.FindDefaultBranchNameResponse{Name: []byte(head)}, nil
	}
	for _, candidate := range []string{head, defaultBranch, legacyDefaultBranch} {
		exists, err := repo.refExists(ctx, candidate)
		if err != nil {
			return nil, wire.Fault(err, "get default branch")
		}
		if exists {
			return &gitalypb.FindDefaultBranchNameResponse{Name: []byte(candidate)}, nil
		}
	}
	first, err := repo.output(ctx, "for-each-ref", "--count=1", "--format=%(refname)", "refs/heads/")
	if err != nil {
		return nil, wire.Fault(err, "get default branch")
	}
	return &gitalypb.FindDefaultBranchNameResponse{Name: []byte(strings.TrimSpace(string(first)))}, nil
}
