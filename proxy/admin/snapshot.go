package admin

import (
	"bufio"
	"context"
	"errors"
	"io"
	"slices"

	"google.golang.org/grpc/status"

	"praefect/fsm/state"
)

// SnapshotRequest asks for the replicated state as a whole.
type SnapshotRequest struct{}

// SnapshotHeader describes the bytes that follow it: the output of State.WriteSnapshot.
type SnapshotHeader struct {
	// Instance is the name of the instance that answered, and Leader that of the leader, empty if
	// the instance knows of none: then others may have agreed on something newer.
	Instance string `json:"instance"`
	Leader   string `json:"leader"`
	// ClusterID and Index say which state it is.
	ClusterID string      `json:"cluster_id"`
	Index     state.Index `json:"index"`
}

// snapshotChunk is how many bytes one message carries.
const snapshotChunk = 64 << 10

// snapshotPart is one message of an answer: first the header, then bytes.
type snapshotPart struct {
	Header  *SnapshotHeader `json:"header"`
	Content []byte          `json:"content"`
}

// snapshot sends the state as this instance has applied it. The state is immutable, so
// that nothing waits for a client that is slow.
func (s *Service) snapshot(call served[SnapshotRequest, snapshotPart]) error {
	view := s.Node.View()
	header := SnapshotHeader{Instance: s.cfg.Instance, Leader: s.Local().Leader, ClusterID: view.ClusterID, Index: view.Index}
	if err := call.send(snapshotPart{Header: &header}); err != nil {
		return err
	}
	out := bufio.NewWriterSize(chunks(func(p []byte) error { return call.send(snapshotPart{Content: p}) }), snapshotChunk)
	if err := view.WriteSnapshot(out); err != nil {
		return err
	}
	return out.Flush()
}

// chunks sends the bytes that are written to it in pieces of at most snapshotChunk.
type chunks func(p []byte) error

// Write implements io.Writer.
func (send chunks) Write(p []byte) (int, error) {
	sent := 0
	for part := range slices.Chunk(p, snapshotChunk) {
		if err := send(part); err != nil {
			return sent, err
		}
		sent += len(part)
	}
	return sent, nil
}

// Snapshot asks for the replicated state and writes it to w. Its errors are gRPC statuses, or come
// from w; after one w has a part of the state, which ReadSnapshot refuses.
func (c *Client) Snapshot(ctx context.Context, w io.Writer) (header SnapshotHeader, err error) {
	err = download(ctx, c, rpcSnapshot, SnapshotRequest{}, func(part snapshotPart) error {
		if part.Header != nil {
			header = *part.Header
		}
		_, err := w.Write(part.Content)
		return err
	})
	return header, err
}

// download makes a call with one request, and gives put each part of its answer.
func download[Request, Response any](ctx context.Context, c *Client, r rpc[Request, Response], request Request, put func(Response) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the stream if we leave early
	out, body, err := r.write(request)
	if err != nil {
		return err
	}
	stream, err := c.cc.NewStream(show(ctx, c.adminToken, r.Path(), body), r.Stream(), r.Path())
	if err != nil {
		return err
	}
	// io.EOF is the end of the call, of which receiving tells more.
	if err := errors.Join(stream.SendMsg(out), stream.CloseSend()); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	for {
		in := r.Response().New()
		err := stream.RecvMsg(in)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return status.Convert(err).Err()
		}
		if err := put(r.Response().Read(in)); err != nil {
			return err
		}
	}
}
