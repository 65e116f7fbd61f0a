package gitaly

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"

	"praefect/test/gitaly/internal/wire"
)

// CheckObjectsExist tells which revisions lead to an object. The first message names
// the repository; each one is answered before the next is read.
func (h *handlers) CheckObjectsExist(stream gitalypb.CommitService_CheckObjectsExistServer) error {
	req, err := stream.Recv()
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil {
		return err
	}
	repo, err := h.existing(req.GetRepository())
	if err != nil {
		return err
	}
	for {
		resp := &gitalypb.CheckObjectsExistResponse{}
		var lines strings.Builder
		for _, revision := range req.GetRevisions() {
			if err := wire.CheckRevision(string(revision)); err != nil {
				return wire.Fault(err, "invalid revision")
			}
			lines.Write(revision)
			lines.WriteByte('\n')
			resp.Revisions = append(resp.Revisions, &gitalypb.CheckObjectsExistResponse_RevisionExistence{Name: revision})
		}
		next := 0
		found := &lineWriter{each: func(line []byte) error {
			if next == len(resp.Revisions) {
				return errors.New("more answers than revisions")
			}
			// "OID TYPE SIZE", or the revision and "missing" or "ambiguous".
			resp.Revisions[next].Exists = len(bytes.Fields(line)) == 3
			next++
			return nil
		}}
		if err := repo.run(stream.Context(), command{args: []string{"cat-file", "--batch-check"}, stdin: strings.NewReader(lines.String()), stdout: found}); err != nil {
			return wire.Fault(err, "look for objects")
		}
		if err := stream.Send(resp); err != nil {
			return err
		}
		switch req, err = stream.Recv(); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}
