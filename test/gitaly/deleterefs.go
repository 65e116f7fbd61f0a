package gitaly

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"

	"praefect/test/gitaly/internal/wire"
)

// DeleteRefs deletes the references named, or all but the ones with one of the
// prefixes, in one transaction.
func (h *handlers) DeleteRefs(ctx context.Context, req *gitalypb.DeleteRefsRequest) (*gitalypb.DeleteRefsResponse, error) {
	repo, err := h.existing(req.GetRepository())
	if err != nil {
		return nil, err
	}
	if (len(req.GetRefs()) == 0) == (len(req.GetExceptWithPrefix()) == 0) {
		return nil, wire.InvalidArgument("either refs or except_with_prefix must be set")
	}
	wanted := make(map[string]bool)
	for _, ref := range req.GetRefs() {
		if err := checkRefName(ref); err != nil {
			return nil, err
		}
		wanted[string(ref)] = true
	}
	deletions, err := repo.deletions(ctx, func(name []byte) bool {
		if len(wanted) > 0 {
			return wanted[string(name)]
		}
		return !slices.ContainsFunc(req.GetExceptWithPrefix(), func(prefix []byte) bool { return bytes.HasPrefix(name, prefix) })
	})
	if err != nil {
		return nil, wire.Fault(err, "list references")
	}
	if deletions.Len() == 0 {
		return &gitalypb.DeleteRefsResponse{}, nil
	}
	update := refUpdates(deletions)
	update.hears = true
	if err := repo.run(ctx, update); err != nil {
		return nil, failedAs(codes.Internal, err, "delete references")
	}
	return &gitalypb.DeleteRefsResponse{}, nil
}

// checkRefName refuses a name that would be another line to git, or no full name.
func checkRefName(ref []byte) error {
	if err := wire.CheckRevision(string(ref)); err != nil {
		return wire.Fault(err, "invalid reference")
	}
	if !strings.HasPrefix(string(ref), "refs/") {
		return wire.InvalidArgument("invalid reference: %q is not a full name", ref)
	}
	return nil
}

// deletions lists the deletion of every reference that is wanted, from the
// value that it has: without one the deletion looks to git's hook like one that
// only tidies up, and would not be voted on.
func (r *repository) deletions(ctx context.Context, wanted func(name []byte) bool) (*bytes.Buffer, error) {
	var list bytes.Buffer
	err := r.run(ctx, command{args: []string{"for-each-ref", "--format=%(objectname) %(refname)"}, stdout: &lineWriter{each: func(line []byte) error {
		if oid, name, _ := bytes.Cut(line, []byte(" ")); wanted(name) {
			fmt.Fprintf(&list, "delete %s\x00%s\x00", name, oid)
		}
		return nil
	}}})
	return &list, err
}

// refUpdates makes all changes of a list, as update-ref takes it with NULs for ends,
// or none.
func refUpdates(changes io.Reader) command {
	return command{args: []string{"update-ref", "--no-deref", "--stdin", "-z"}, stdin: changes}
}

// UpdateReferences makes all changes that are streamed in, or none. No storage votes if all of
// them delete references of any value.
func (h *handlers) UpdateReferences(stream gitalypb.RefService_UpdateReferencesServer) error {
	req, err := stream.Recv()
	if err != nil {
		return wire.Fault(err, "receive first message")
	}
	repo, err := h.existing(req.GetRepository())
	if err != nil {
		return err
	}
	if len(req.GetUpdates()) == 0 {
		return wire.InvalidArgument("no updates specified")
	}
	var changes bytes.Buffer
	for err == nil {
		for _, update := range req.GetUpdates() {
			if err := checkRefName(update.GetReference()); err != nil {
				return err
			}
			if bytes.ContainsRune(update.GetOldObjectId(), 0) || bytes.ContainsRune(update.GetNewObjectId(), 0) {
				return wire.InvalidArgument("object id holds a NUL")
			}
			fmt.Fprintf(&changes, "update %s\x00%s\x00%s\x00", update.GetReference(), update.GetNewObjectId(), update.GetOldObjectId())
		}
		req, err = stream.Recv()
	}
	if !errors.Is(err, io.EOF) {
		return wire.Fault(err, "receive updates")
	}
	if err := repo.run(stream.Context(), refUpdates(&changes)); err != nil {
		return failedAs(codes.FailedPrecondition, err, "update references")
	}
	return stream.SendAndClose(&gitalypb.UpdateReferencesResponse{})
}
