package gitaly

import (
	"io"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"

	"praefect/test/gitaly/internal/wire"
)

// actionReader takes a stream of UserCommitFiles apart into actions, and reads
// the content of the current one: no more than one message is in memory.
type actionReader struct {
	receive func() (*gitalypb.UserCommitFilesRequest, error)

	begun   bool   // there is a current action
	data    []byte // of the current action, received but not read
	pending *gitalypb.UserCommitFilesActionHeader
	err     error // of receive; io.EOF at the regular end
}

// next returns the next action, or io.EOF. Content that was not read is skipped.
func (r *actionReader) next() (*gitalypb.UserCommitFilesActionHeader, error) {
	if r.pending == nil && r.err == nil {
		if _, err := io.Copy(io.Discard, r); err != nil {
			return nil, err
		}
	}
	if r.pending == nil {
		return nil, r.err
	}
	action := r.pending
	r.pending, r.begun = nil, true
	return action, nil
}

// Read reads from the content of the current action; io.EOF ends it.
func (r *actionReader) Read(p []byte) (int, error) {
	for len(r.data) == 0 {
		switch {
		case r.pending != nil:
			return 0, io.EOF
		case r.err != nil:
			return 0, r.err
		}
		var req *gitalypb.UserCommitFilesRequest
		if req, r.err = r.receive(); r.err != nil {
			continue
		}
		switch payload := req.GetAction().GetUserCommitFilesActionPayload().(type) {
		case *gitalypb.UserCommitFilesAction_Header:
			r.pending = payload.Header
		case *gitalypb.UserCommitFilesAction_Content:
			if !r.begun {
				r.err = wire.InvalidArgument("content sent before action")
				continue
			}
			r.data = payload.Content
		default:
			r.err = wire.InvalidArgument("unhandled action payload type: %T", payload)
		}
	}
	n := copy(p, r.data)
	r.data = r.data[n:]
	return n, nil
}
