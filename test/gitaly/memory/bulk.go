package memory

import (
	"errors"
	"fmt"
	"io"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"

	"praefect/test/gitaly/internal/wire"
)

// ReceivedRef is the reference that PostReceivePack sets: the object id is the
// number of bytes received, in hexadecimal.
const ReceivedRef = "refs/heads/received"

// GetBlob sends up to limit bytes of a blob (all of it if limit is negative).
// The first message has its size and id; both are unset if it is no blob.
func (h *handlers) GetBlob(req *gitalypb.GetBlobRequest, stream gitalypb.BlobService_GetBlobServer) error {
	return h.hooked(stream.Context(), req.GetRepository(), func() error {
		if err := h.read(req.GetRepository(), func(*repository) error { return nil }); err != nil {
			return err
		}
		if req.GetOid() == "" {
			return wire.InvalidArgument("empty Oid")
		}
		next := &gitalypb.GetBlobResponse{}
		var size int64
		if isOID(req.GetOid()) {
			size = h.server.config.BlobSize
			next.Size, next.Oid = size, req.GetOid()
		}
		if limit := req.GetLimit(); limit >= 0 {
			size = min(size, limit)
		}
		if size == 0 {
			return stream.Send(next)
		}
		return sendZeros(size, func(chunk []byte) error {
			next.Data = chunk
			err := stream.Send(next)
			next = &gitalypb.GetBlobResponse{}
			return err
		})
	})
}

// PostReceivePack counts the bytes that come in and, at their end, sets
// ReceivedRef to their number.
func (h *handlers) PostReceivePack(stream gitalypb.SmartHTTPService_PostReceivePackServer) error {
	first, err := stream.Recv()
	if err != nil {
		return wire.Fault(err, "receive first message")
	}
	return h.hooked(stream.Context(), first.GetRepository(), func() error {
		switch {
		case first.GetGlId() == "":
			return wire.InvalidArgument("empty GlId")
		case len(first.GetData()) > 0:
			return wire.InvalidArgument("non-empty Data")
		}
		if err := h.read(first.GetRepository(), func(*repository) error { return nil }); err != nil {
			return err
		}
		var received int64
		for {
			req, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return wire.Fault(err, "receive push")
			}
			received += int64(len(req.GetData()))
		}
		return h.agreeOn(stream.Context(), first.GetRepository(), ReceivedRef, false, func(r *repository) error {
			return r.set(ReceivedRef, fmt.Sprintf("%040x", received), "")
		})
	})
}

// sendZeros sends that many bytes in chunks.
func sendZeros(size int64, send wire.Sender) error {
	_, err := io.CopyN(send, readerFunc(func(p []byte) (int, error) {
		clear(p)
		return len(p), nil
	}), size)
	return err
}

// readerFunc is a function as an io.Reader.
type readerFunc func(p []byte) (int, error)

// Read calls f.
func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
