package gitaly

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"

	"praefect/test/gitaly/internal/wire"
)

// GetBlob sends up to limit bytes of a blob (all of it if limit is negative).
// The first message has its size and id; both are unset if it is no blob.
func (h *handlers) GetBlob(req *gitalypb.GetBlobRequest, stream gitalypb.BlobService_GetBlobServer) error {
	repo, err := h.existing(req.GetRepository())
	if err != nil {
		return err
	}
	switch {
	case req.GetOid() == "":
		return wire.InvalidArgument("empty Oid")
	case strings.ContainsAny(req.GetOid(), "\n\x00"):
		return wire.InvalidArgument("malformed Oid %q", req.GetOid())
	}
	next := &gitalypb.GetBlobResponse{} // the message that goes out next
	send := wire.Sender(func(chunk []byte) error {
		next.Data = chunk
		err := stream.Send(next)
		next = &gitalypb.GetBlobResponse{}
		return err
	})
	out := &objectWriter{begin: func(o object) int64 {
		if o.kind != "blob" {
			return 0
		}
		next.Size, next.Oid = o.size, o.oid
		if limit := req.GetLimit(); limit >= 0 && limit < o.size {
			return limit
		}
		return o.size
	}, body: send}
	err = repo.run(stream.Context(), command{
		args:   []string{"cat-file", "--batch"},
		stdin:  strings.NewReader(req.GetOid() + "\n"),
		stdout: out,
	})
	if err != nil {
		return wire.Fault(err, "read object")
	}
	if out.passed > 0 {
		return nil
	}
	return wire.Fault(stream.Send(next), "send empty response")
}

// object is git's description of an object before its content.
type object struct {
	oid  string
	kind string // "" if there is no such object
	size int64
}

// objectWriter takes git cat-file's answer to a single name: it tells begin the
// object's description, and passes on as much of the content as begin wants.
type objectWriter struct {
	begin func(object) int64
	body  wire.Sender

	head   []byte // until its end was seen
	begun  bool
	wanted int64 // of the content, still to pass on
	passed int64
}

// Write takes in p. Content that is not wanted is read and dropped: git ends by itself.
func (w *objectWriter) Write(p []byte) (int, error) {
	n := len(p)
	if !w.begun {
		end := bytes.IndexByte(p, '\n')
		if end < 0 {
			w.head = append(w.head, p...)
			return n, nil
		}
		o, err := parseObject(string(append(w.head, p[:end]...)))
		if err != nil {
			return 0, err
		}
		w.begun, w.wanted, p = true, w.begin(o), p[end+1:]
	}
	part, err := w.body.Write(p[:min(int64(len(p)), w.wanted)])
	w.wanted -= int64(part)
	w.passed += int64(part)
	return n, err
}

// parseObject reads "<id> <kind> <size>", or "<name> missing" and its like.
func parseObject(line string) (object, error) {
	fields := strings.Fields(line)
	if len(fields) != 3 {
		return object{}, nil
	}
	size, err := strconv.ParseInt(fields[2], 10, 64)
	if err != nil {
		return object{}, fmt.Errorf("malformed answer %q of git: %w", line, err)
	}
	return object{oid: fields[0], kind: fields[1], size: size}, nil
}
