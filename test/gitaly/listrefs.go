package gitaly

import (
	"bytes"
	"fmt"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"

	"praefect/test/gitaly/internal/wire"
)

// refsPerMessage keeps a message of references far below the size limit.
const refsPerMessage = 512

// ListRefs sends the references that match a pattern, in the wanted order.
func (h *handlers) ListRefs(req *gitalypb.ListRefsRequest, stream gitalypb.RefService_ListRefsServer) error {
	repo, err := h.existing(req.GetRepository())
	if err != nil {
		return err
	}
	args, err := listRefsArgs(req)
	if err != nil {
		return err
	}
	resp := &gitalypb.ListRefsResponse{}
	if req.GetHead() {
		oid, err := repo.resolve(stream.Context(), "HEAD")
		if err != nil {
			return wire.Fault(err, "resolving HEAD")
		}
		if oid != "" {
			resp.References = append(resp.References, &gitalypb.ListRefsResponse_Reference{Name: []byte("HEAD"), Target: oid})
		}
	}
	flush := func() error {
		full := resp
		resp = &gitalypb.ListRefsResponse{}
		return stream.Send(full)
	}
	lines := &lineWriter{each: func(line []byte) error {
		fields := bytes.Split(line, []byte{0})
		if len(fields) != 3 {
			return fmt.Errorf("malformed line %q in the list of references", line)
		}
		resp.References = append(resp.References, &gitalypb.ListRefsResponse_Reference{
			Name:         bytes.Clone(fields[0]),
			Target:       string(fields[1]),
			PeeledTarget: string(fields[2]),
		})
		if len(resp.References) < refsPerMessage {
			return nil
		}
		return flush()
	}}
	if err := repo.run(stream.Context(), command{args: args, stdout: lines}); err != nil {
		return wire.Fault(err, "list references")
	}
	if len(resp.References) == 0 {
		return nil
	}
	return wire.Fault(flush(), "send references")
}

func listRefsArgs(req *gitalypb.ListRefsRequest) ([]string, error) {
	if len(req.GetPatterns()) == 0 {
		return nil, wire.InvalidArgument("patterns must have at least one entry")
	}
	// Peeling an object costs a look at it, so only on demand.
	format := "%(refname)%00%(objectname)%00"
	if req.GetPeelTags() {
		format += "%(*objectname)"
	}
	var key, direction string
	switch req.GetSortBy().GetKey() {
	case gitalypb.ListRefsRequest_SortBy_REFNAME:
		key = "refname"
	case gitalypb.ListRefsRequest_SortBy_CREATORDATE:
		key = "creatordate"
	case gitalypb.ListRefsRequest_SortBy_AUTHORDATE:
		key = "authordate"
	case gitalypb.ListRefsRequest_SortBy_COMMITTERDATE:
		key = "committerdate"
	default:
		return nil, wire.InvalidArgument("sorting key %q is not supported", req.GetSortBy().GetKey())
	}
	switch req.GetSortBy().GetDirection() {
	case gitalypb.SortDirection_ASCENDING:
	case gitalypb.SortDirection_DESCENDING:
		direction = "-"
	default:
		return nil, wire.InvalidArgument("sorting direction is not supported")
	}
	args := []string{"for-each-ref", "--format=" + format, "--sort=" + direction + key}
	for _, oid := range req.GetPointingAtOids() {
		args = append(args, "--points-at="+string(oid))
	}
	args = append(args, "--")
	for _, pattern := range req.GetPatterns() {
		args = append(args, string(pattern))
	}
	return args, nil
}

// lineWriter calls each with every line that is written to it, its end left
// out; it holds no more than one line, which is valid for the call only.
type lineWriter struct {
	each func(line []byte) error
	rest []byte
}

// Write takes in p.
func (w *lineWriter) Write(p []byte) (int, error) {
	n := len(p)
	for {
		end := bytes.IndexByte(p, '\n')
		if end < 0 {
			w.rest = append(w.rest, p...)
			return n, nil
		}
		w.rest = append(w.rest, p[:end]...)
		if err := w.each(w.rest); err != nil {
			return 0, err
		}
		w.rest, p = w.rest[:0], p[end+1:]
	}
}
