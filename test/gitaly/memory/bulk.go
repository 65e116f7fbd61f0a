package memory

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/test/gitaly/internal/wire"
)

// ReceivedRef is the reference that PostReceivePack sets: the object id is the
// number of bytes received, in hexadecimal.
const ReceivedRef = "refs/heads/received"

// bundleTitle begins every bundle. A line for HEAD's branch, one a reference
// and an empty line follow, then the padding.
const bundleTitle = "# references in memory"

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

// CreateBundle sends the references, and padding of the configured size.
func (h *handlers) CreateBundle(req *gitalypb.CreateBundleRequest, stream gitalypb.RepositoryService_CreateBundleServer) error {
	return h.hooked(stream.Context(), req.GetRepository(), func() error {
		var header strings.Builder
		err := h.read(req.GetRepository(), func(r *repository) error {
			if len(r.refs) == 0 {
				return status.Error(codes.Internal, "create bundle: refusing to create empty bundle")
			}
			fmt.Fprintf(&header, "%s\n%s\n", bundleTitle, r.head)
			for _, name := range r.names() {
				fmt.Fprintf(&header, "%s %s\n", r.refs[name], name)
			}
			header.WriteString("\n")
			return nil
		})
		if err != nil {
			return err
		}
		send := wire.Sender(func(chunk []byte) error {
			return stream.Send(&gitalypb.CreateBundleResponse{Data: chunk})
		})
		if _, err := io.WriteString(send, header.String()); err != nil {
			return err
		}
		return sendZeros(h.server.config.BundleSize, send)
	})
}

// CreateRepositoryFromBundle makes a repository out of a bundle of CreateBundle's.
func (h *handlers) CreateRepositoryFromBundle(stream gitalypb.RepositoryService_CreateRepositoryFromBundleServer) error {
	first, err := stream.Recv()
	if err != nil {
		return wire.Fault(err, "receive first message")
	}
	err = h.hooked(stream.Context(), first.GetRepository(), func() error {
		h.server.mu.RLock()
		_, _, err := h.locate(first.GetRepository())
		h.server.mu.RUnlock()
		if err != nil {
			return err
		}
		data := first.GetData()
		repo, err := readBundle(readerFunc(func(p []byte) (int, error) {
			for len(data) == 0 {
				req, err := stream.Recv()
				if err != nil {
					return 0, err
				}
				data = req.GetData()
			}
			n := copy(p, data)
			data = data[n:]
			return n, nil
		}))
		if err != nil {
			return wire.Fault(err, "creating repository")
		}
		return h.agreeToCreate(stream.Context(), first.GetRepository(), repo)
	})
	if err != nil {
		return err
	}
	return stream.SendAndClose(&gitalypb.CreateRepositoryFromBundleResponse{})
}

func readBundle(from io.Reader) (*repository, error) {
	r := bufio.NewReaderSize(from, wire.ChunkSize)
	var lines []string
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return nil, fmt.Errorf("read bundle: %w", err)
		}
		if line = strings.TrimSuffix(line, "\n"); line == "" {
			break
		}
		lines = append(lines, line)
	}
	if len(lines) < 2 || lines[0] != bundleTitle {
		return nil, errors.New("not a bundle")
	}
	repo := newRepository(lines[1])
	for _, line := range lines[2:] {
		oid, name, ok := strings.Cut(line, " ")
		if !ok || !isOID(oid) {
			return nil, fmt.Errorf("malformed line %q in bundle", line)
		}
		repo.refs[name] = oid
	}
	if _, err := io.Copy(io.Discard, r); err != nil {
		return nil, fmt.Errorf("read padding of bundle: %w", err)
	}
	return repo, nil
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
