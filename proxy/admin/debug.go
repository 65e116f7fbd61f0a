package admin

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// DebugFile is something that an instance tells of itself for a person that looks for a fault.
// It never holds a secret.
type DebugFile struct {
	// Name is a file name without a directory.
	Name string
	// Write writes the content.
	Write func(w io.Writer) error
}

// DebugRequest asks an instance for its debug files. It needs the proof that a change needs: stack
// traces are not for callers that may only ask.
type DebugRequest struct {
	Schema int `json:"schema"`
}

// debugPart is one piece of a file. The first piece of each has its name.
type debugPart struct {
	Schema   int    `json:"schema"`
	Instance string `json:"instance,omitempty"`
	Name     string `json:"name,omitempty"`
	Content  []byte `json:"content,omitempty"`
	// Error is why the rest of the file is missing.
	Error string `json:"error,omitempty"`
}

func debugging() grpc.StreamDesc {
	return grpc.StreamDesc{
		StreamName:    "Debug",
		ServerStreams: true,
		Handler: func(srv any, stream grpc.ServerStream) error {
			in := &wrapperspb.BytesValue{}
			if err := stream.RecvMsg(in); err != nil {
				return err
			}
			if _, err := decodeRequest[DebugRequest](in); err != nil {
				return err
			}
			s := srv.(*Service)
			if err := s.access.Load().check(withCall(stream.Context(), fullMethod("Debug"), in.GetValue())); err != nil {
				return err
			}
			return s.debug(stream)
		},
	}
}

// debug sends the files, one after the other.
func (s *Service) debug(stream grpc.ServerStream) error {
	if s.Debug == nil {
		return errNoControl()
	}
	for _, file := range s.Debug() {
		if err := sendPart(stream, debugPart{Instance: s.cfg.Instance, Name: file.Name}); err != nil {
			return err
		}
		if err := file.Write(debugWriter{stream}); err != nil {
			if err := sendPart(stream, debugPart{Error: err.Error()}); err != nil {
				return err
			}
		}
	}
	return nil
}

// debugWriter sends the bytes that are written to it.
type debugWriter struct{ stream grpc.ServerStream }

// Write implements io.Writer.
func (w debugWriter) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		n := min(len(rest), snapshotChunk)
		if err := sendPart(w.stream, debugPart{Content: rest[:n]}); err != nil {
			return len(p) - len(rest), err
		}
		rest = rest[n:]
	}
	return len(p), nil
}

func sendPart(stream grpc.ServerStream, part debugPart) error {
	part.Schema = Schema
	out, err := encode(part)
	if err != nil {
		return err
	}
	return stream.SendMsg(out)
}

// Debug asks for the debug files of the instance. put gets their content piece by piece; the first
// piece of each file is empty. Its errors come from put, or are gRPC statuses.
func (c *Client) Debug(ctx context.Context, put func(instance, name string, content []byte) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the stream if we leave early
	desc := debugging()
	request, err := encode(DebugRequest{Schema: Schema})
	if err != nil {
		return err
	}
	ctx = show(ctx, c.adminToken, fullMethod(desc.StreamName), request.GetValue())
	stream, err := c.cc.NewStream(ctx, &desc, fullMethod(desc.StreamName))
	if err != nil {
		return err
	}
	// io.EOF is the end of the call, of which receiving tells more.
	if err := errors.Join(stream.SendMsg(request), stream.CloseSend()); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	instance, name := "", ""
	for {
		in := &wrapperspb.BytesValue{}
		err := stream.RecvMsg(in)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return status.Convert(err).Err()
		}
		var part debugPart
		if err := decode(in.GetValue(), &part); err != nil {
			return fmt.Errorf("read the answer of Debug: %w", err)
		}
		if part.Name != "" {
			instance, name = part.Instance, part.Name
		}
		content := part.Content
		if part.Error != "" {
			content = fmt.Appendf(content, "\nthe rest is missing: %s\n", part.Error)
		}
		if err := put(instance, name, content); err != nil {
			return err
		}
	}
}
