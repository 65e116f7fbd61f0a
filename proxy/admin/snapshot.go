package admin

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"praefect/fsm/state"
)

// SnapshotRequest asks for the replicated state as a whole.
type SnapshotRequest struct {
	Schema int `json:"schema"`
}

// SnapshotHeader describes the bytes that follow it: the output of State.WriteSnapshot.
type SnapshotHeader struct {
	Schema int `json:"schema"`
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

// snapshotting describes the call for a snapshot: one request, then the header, then bytes.
func snapshotting() grpc.StreamDesc {
	return grpc.StreamDesc{
		StreamName:    "Snapshot",
		ServerStreams: true,
		Handler: func(srv any, stream grpc.ServerStream) error {
			in := &wrapperspb.BytesValue{}
			if err := stream.RecvMsg(in); err != nil {
				return err
			}
			if _, err := decodeRequest[SnapshotRequest](in); err != nil {
				return err
			}
			return srv.(*Service).snapshot(stream)
		},
	}
}

// snapshot sends the state as this instance has applied it. The state is immutable, so
// that nothing waits for a client that is slow.
func (s *Service) snapshot(stream grpc.ServerStream) error {
	view := s.Node.View()
	header, err := encode(SnapshotHeader{
		Schema: Schema, Instance: s.cfg.Instance, Leader: s.Local().Leader, ClusterID: view.ClusterID, Index: view.Index,
	})
	if err != nil {
		return err
	}
	if err := stream.SendMsg(header); err != nil {
		return err
	}
	out := bufio.NewWriterSize(chunks{stream}, snapshotChunk)
	if err := view.WriteSnapshot(out); err != nil {
		return err
	}
	return out.Flush()
}

// chunks sends the bytes that are written to it, each Write as one message.
type chunks struct{ stream grpc.ServerStream }

// Write implements io.Writer.
func (c chunks) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		n := min(len(rest), snapshotChunk)
		if err := c.stream.SendMsg(wrapperspb.Bytes(rest[:n])); err != nil {
			return len(p) - len(rest), err
		}
		rest = rest[n:]
	}
	return len(p), nil
}

// Snapshot asks for the replicated state and writes it to w. Its errors are gRPC statuses, or come
// from w; after one w has a part of the state, which ReadSnapshot refuses.
func (c *Client) Snapshot(ctx context.Context, w io.Writer) (SnapshotHeader, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the stream if we leave early
	desc := snapshotting()
	stream, err := c.cc.NewStream(ctx, &desc, fullMethod(desc.StreamName))
	if err != nil {
		return SnapshotHeader{}, err
	}
	request, err := encode(SnapshotRequest{Schema: Schema})
	if err != nil {
		return SnapshotHeader{}, err
	}
	// io.EOF is the end of the call, of which receiving tells more.
	if err := errors.Join(stream.SendMsg(request), stream.CloseSend()); err != nil && !errors.Is(err, io.EOF) {
		return SnapshotHeader{}, err
	}
	var header SnapshotHeader
	in := &wrapperspb.BytesValue{}
	if err := stream.RecvMsg(in); err != nil {
		return header, err
	}
	if err := decode(in.GetValue(), &header); err != nil {
		return header, fmt.Errorf("read the answer of Snapshot: %w", err)
	}
	for {
		in := &wrapperspb.BytesValue{}
		err := stream.RecvMsg(in)
		if errors.Is(err, io.EOF) {
			return header, nil
		}
		if err != nil {
			return header, status.Convert(err).Err()
		}
		if _, err := w.Write(in.GetValue()); err != nil {
			return header, err
		}
	}
}
