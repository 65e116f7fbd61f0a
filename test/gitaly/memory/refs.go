package memory

import (
	"context"
	"path"
	"slices"
	"strings"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/test/gitaly/internal/wire"
)

// WriteRef sets, makes or deletes (revision of 40 zeros) a reference, if it
// has the old value where one is given; or makes HEAD name another branch.
func (h *handlers) WriteRef(ctx context.Context, req *gitalypb.WriteRefRequest) (*gitalypb.WriteRefResponse, error) {
	edit := func(r *repository) error {
		return r.writeRef(string(req.GetRef()), string(req.GetRevision()), string(req.GetOldRevision()))
	}
	err := h.hooked(ctx, req.GetRepository(), func() error {
		// As git's hook is told it, this only tidies up: no storage votes.
		if strings.Trim(string(req.GetRevision())+string(req.GetOldRevision()), "0") == "" {
			return h.write(req.GetRepository(), edit)
		}
		return h.agreeOn(ctx, req.GetRepository(), string(req.GetRef()), string(req.GetRef()) != "HEAD", edit)
	})
	return wire.Answer(&gitalypb.WriteRefResponse{}, err)
}

func (r *repository) writeRef(ref, revision, old string) (err error) {
	if err := wire.CheckRevision(ref); err != nil {
		return wire.Fault(err, "invalid ref")
	}
	if err := wire.CheckRevision(revision); err != nil {
		return wire.Fault(err, "invalid revision")
	}
	if old != "" {
		if err := wire.CheckRevision(old); err != nil {
			return wire.Fault(err, "invalid OldRevision")
		}
	}
	switch {
	case ref == "HEAD" && !strings.HasPrefix(revision, "refs/"):
		return status.Error(codes.Internal, "setting default branch: not a reference")
	case ref == "HEAD":
		r.head = revision
		return nil
	case !strings.HasPrefix(ref, "refs/"):
		return wire.InvalidArgument("ref has to be a full reference")
	}
	if revision, err = r.resolve(revision); err != nil {
		return wire.Fault(err, "resolving new revision")
	}
	if old != "" {
		if old, err = r.resolve(old); err != nil {
			return wire.Fault(err, "resolving old revision")
		}
	}
	return wire.Fault(r.set(ref, revision, old), "error when running update-ref command")
}

// RefExists reports whether there is a reference of that full name.
func (h *handlers) RefExists(ctx context.Context, req *gitalypb.RefExistsRequest) (*gitalypb.RefExistsResponse, error) {
	resp := &gitalypb.RefExistsResponse{}
	err := h.hooked(ctx, req.GetRepository(), func() error {
		return h.read(req.GetRepository(), func(r *repository) error {
			if !strings.HasPrefix(string(req.GetRef()), "refs/") {
				return wire.InvalidArgument("invalid refname")
			}
			_, resp.Value = r.refs[string(req.GetRef())]
			return nil
		})
	})
	return wire.Answer(resp, err)
}

// FindDefaultBranchName returns the branch that HEAD names, existing or not;
// unless only that is asked for it must exist, else another one is taken.
func (h *handlers) FindDefaultBranchName(ctx context.Context, req *gitalypb.FindDefaultBranchNameRequest) (*gitalypb.FindDefaultBranchNameResponse, error) {
	resp := &gitalypb.FindDefaultBranchNameResponse{}
	err := h.hooked(ctx, req.GetRepository(), func() error {
		return h.read(req.GetRepository(), func(r *repository) error {
			resp.Name = []byte(r.head)
			if !req.GetHeadOnly() {
				resp.Name = []byte(r.defaultBranch())
			}
			return nil
		})
	})
	return wire.Answer(resp, err)
}

// ListRefs sends the references that match a pattern, ordered by name: there
// are no commits with dates to order them by.
func (h *handlers) ListRefs(req *gitalypb.ListRefsRequest, stream gitalypb.RefService_ListRefsServer) error {
	return h.hooked(stream.Context(), req.GetRepository(), func() error {
		resp := &gitalypb.ListRefsResponse{}
		err := h.read(req.GetRepository(), func(r *repository) error {
			if len(req.GetPatterns()) == 0 {
				return wire.InvalidArgument("patterns must have at least one entry")
			}
			if key := req.GetSortBy().GetKey(); key != gitalypb.ListRefsRequest_SortBy_REFNAME {
				return status.Errorf(codes.Unimplemented, "sorting key %v is not served", key)
			}
			resp.References = r.list(req)
			return nil
		})
		if err != nil || len(resp.References) == 0 {
			return err
		}
		return stream.Send(resp)
	})
}

func (r *repository) list(req *gitalypb.ListRefsRequest) []*gitalypb.ListRefsResponse_Reference {
	var found []*gitalypb.ListRefsResponse_Reference
	if oid, ok := r.refs[r.head]; ok && req.GetHead() {
		found = append(found, &gitalypb.ListRefsResponse_Reference{Name: []byte("HEAD"), Target: oid})
	}
	names := r.names()
	if req.GetSortBy().GetDirection() == gitalypb.SortDirection_DESCENDING {
		slices.Reverse(names)
	}
	for _, name := range names {
		oid := r.refs[name]
		if !slices.ContainsFunc(req.GetPatterns(), func(pattern []byte) bool { return matches(string(pattern), name) }) {
			continue
		}
		if wanted := req.GetPointingAtOids(); len(wanted) > 0 &&
			!slices.ContainsFunc(wanted, func(want []byte) bool { return string(want) == oid }) {
			continue
		}
		found = append(found, &gitalypb.ListRefsResponse_Reference{Name: []byte(name), Target: oid})
	}
	return found
}

// matches reports whether git for-each-ref would take the pattern for the
// name: it is the name, a directory of it, or a glob.
func matches(pattern, name string) bool {
	dir := strings.TrimSuffix(pattern, "/") + "/"
	if name == pattern || strings.HasPrefix(name, dir) {
		return true
	}
	ok, err := path.Match(pattern, name)
	return err == nil && ok
}
