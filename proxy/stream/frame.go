package stream

import (
	"google.golang.org/grpc/encoding"
	// Clients may compress their messages. gRPC undoes that before Unmarshal, so that a Frame
	// holds, and forwards, the message itself: compression is between two ends of one connection. A
	// client that compresses gets compressed responses, as from Gitaly.
	_ "google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
)

// Frame is one gRPC message as the bytes it had on the wire. The zero Frame is an empty message.
//
// A Frame holds one reference to each of its buffers. The holder of the Frame frees it once; a
// Frame that was received into again, or that a function documents to take over, is no longer the
// caller's to free. It may not be copied.
type Frame struct {
	data mem.BufferSlice
}

// NewFrame makes a message of data, whose references it takes over.
func NewFrame(data mem.BufferSlice) *Frame { return &Frame{data: data} }

// Data returns the bytes of the message. They are lent: valid until the Frame is freed, and not to be changed.
func (f *Frame) Data() mem.BufferSlice { return f.data }

// Free gives the references back and leaves an empty message, so that freeing again does nothing.
func (f *Frame) Free() {
	f.data.Free()
	f.data = nil
}

// Codec passes a *[Frame] through as it is and treats every other message as protobuf, so that a server which forwards
// calls can also serve registered services. It goes on the server with grpc.ForceServerCodecV2; [Open] sets it on branches.
type Codec struct{}

var _ encoding.CodecV2 = Codec{}

// Marshal returns the bytes of a message. The buffers of a *Frame are not copied: gRPC gets
// references of its own, so that the Frame may be freed as soon as SendMsg returns, whenever the
// bytes reach the wire.
func (Codec) Marshal(v any) (mem.BufferSlice, error) {
	if f, ok := v.(*Frame); ok {
		f.data.Ref()
		return f.data, nil
	}
	return encoding.GetCodecV2(proto.Name).Marshal(v)
}

// Unmarshal sets a message to the bytes received. A *Frame keeps them, with references of its own
// because gRPC frees its own, and frees what it held before.
func (Codec) Unmarshal(data mem.BufferSlice, v any) error {
	if f, ok := v.(*Frame); ok {
		data.Ref()
		f.data.Free()
		f.data = data
		return nil
	}
	return encoding.GetCodecV2(proto.Name).Unmarshal(data, v)
}

// Name returns the name of the protobuf codec, because the frames hold its messages.
func (Codec) Name() string { return proto.Name }
