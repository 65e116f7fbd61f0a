package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"praefect/fsm/state"
	"praefect/proxy/channel"
	"praefect/proxy/method"
	"praefect/proxy/storage"
	"praefect/proxy/stream"
	"praefect/proxy/transaction"
)

// request is one call that is to be forwarded, after its first message was
// read. It belongs to the goroutine of the call.
type request struct {
	stream grpc.ServerStream
	ctx    context.Context
	call   *call
	method method.Method
	// wire is the call as the byte path needs to know it.
	wire stream.Call
	// first is the client's first message; the request owns it.
	first *stream.Frame
	// stamp goes before the first message: it says when the change is made, for all
	// storages, if the client does not.
	stamp []byte
	// named are the names in the first message, as the client sees them.
	named method.Request
	// keys are the repositories of a repository-scoped call: the target and, if
	// the client named one, the additional one.
	keys []state.Key
	// until is when a write that does not vote has ended; progress ends one that votes.
	until    time.Time
	progress progress
	// asked tells that the client waits for a sidechannel, spent that one was
	// opened: the client takes no other.
	asked, spent bool
	// primary is the name of the storage that a write was sent to last, nil until then.
	primary atomic.Pointer[string]
	// again is how often a write was sent again that had lost its locks.
	again int
	// responded is set when the client was given the first piece of an answer.
	responded atomic.Bool
}

// direct handles every call that no service of this instance answers.
func (s *Server) direct(_ any, ss grpc.ServerStream) error {
	name, ok := grpc.MethodFromServerStream(ss)
	if !ok {
		return status.Error(codes.Internal, "the call has no method name")
	}
	m, ok := s.methods.Lookup(name)
	if m.Refusal != "" {
		return refused(m)
	}
	if !ok || m.Kind == method.Intercepted {
		return status.Errorf(codes.Unimplemented, "method %s is not known to this version", cut(name))
	}
	call := stream.Call{Method: name, ClientStreams: m.ClientStreams, ServerStreams: m.ServerStreams}
	first, err := stream.Peek(ss, call)
	if err != nil {
		if err == io.EOF {
			err = invalid(method.ErrRepositoryNotSet) // the client closed without a message
		}
		return err
	}
	defer first.Free()

	r := &request{stream: ss, ctx: ss.Context(), call: callOf(ss.Context()), method: m, wire: call, first: first}
	r.wire.Responded = &r.responded
	r.call.kind = m.Kind.String()
	if r.asked = channel.Asked(r.ctx); r.asked {
		if _, ok := channel.FromContext(r.ctx); !ok {
			return errClientWithoutBackchannel
		}
	}
	if err := s.parse(r); err != nil {
		return err
	}

	if handle := s.special(name); handle != nil {
		return handle(r)
	}
	switch {
	case m.Scope == method.ScopeStorage && m.Kind == method.Accessor:
		return s.readStorage(r)
	case m.Scope == method.ScopeStorage:
		return status.Errorf(codes.Unimplemented, "method %s changes a whole storage, which is not offered for virtual storages", name)
	case m.Kind == method.Accessor:
		return s.read(r)
	case m.Kind == method.Maintenance:
		return s.maintain(r)
	}
	return s.mutate(r)
}

// parse finds the names in the first message, and notes them for the line of the call.
func (s *Server) parse(r *request) error {
	if err := r.read(); err != nil {
		return invalid(err)
	}
	r.call.virtualStorage = r.named.Target.StorageName + r.named.Storage
	r.call.relativePath = r.named.Target.RelativePath
	if s.logsCalls(r.ctx, codes.OK) {
		r.call.glRepository, r.call.glProjectPath = r.method.Labels(r.first.Data())
	}
	return nil
}

// mutate forwards a mutator, and says of which repository the existence may have
// changed.
func (s *Server) mutate(r *request) error {
	if err := s.checkDirectory(r); err != nil {
		return err // nothing is entered, and nothing is forwarded
	}
	if r.method.Change == method.ChangeCreate || r.method.Change == method.ChangeDelete {
		defer s.touched(r.keys[0]) // it may have happened even if it failed
	}
	return s.write(r)
}

// refused is the status of a method that is not offered.
func refused(m method.Method) error {
	return status.Errorf(codes.Unimplemented, "method %s is not offered: %s", m.FullName, m.Refusal)
}

// read finds the names in the first message and refuses a request that no storage should get.
// Nothing was touched before it.
func (r *request) read() error {
	named, err := r.method.Read(r.first.Data())
	if err != nil {
		return err
	}
	r.named = named
	if r.method.Scope == method.ScopeStorage {
		if named.Storage == "" {
			return errors.New("storage scoped: target storage is invalid")
		}
		return nil
	}
	if err := named.Target.Validate(); err != nil {
		return err
	}
	r.keys = []state.Key{{VirtualStorage: named.Target.StorageName, RelativePath: named.Target.RelativePath}}
	if (named.Additional == method.Repository{}) {
		return nil
	}
	if err := named.Additional.Validate(); err != nil {
		return fmt.Errorf("additional repository: %w", err)
	}
	if named.Additional.StorageName != named.Target.StorageName {
		return errors.New("resolving additional repository on different storage than target repository is not supported")
	}
	additional := state.Key{VirtualStorage: named.Additional.StorageName, RelativePath: named.Additional.RelativePath}
	if !slices.Contains(r.keys, additional) {
		r.keys = append(r.keys, additional)
	}
	return nil
}

// adminHeader carries the proof of operators; see package admin.
const adminHeader = "praefect-admin-authorization"

// forUs tells whether a header of a client goes to no storage: its credentials are for us alone, the
// id of its sidechannel means nothing elsewhere, grpc-accept-encoding names the client's
// decompressors, and votes are cast in transactions of ours only. The correlation id is set for
// every call.
func forUs(header string) bool {
	switch header {
	case "authorization", adminHeader, passedOnHeader, channel.IDHeader, "grpc-accept-encoding", transaction.Header, correlationHeader:
		return true
	}
	return false
}

// outgoing is the context of a call to a storage: the client's metadata, but not the headers for us.
func (r *request) outgoing(ctx context.Context) context.Context {
	md, _ := metadata.FromIncomingContext(ctx) // a copy of our own
	maps.DeleteFunc(md, func(header string, _ []string) bool { return forUs(header) })
	md.Set(correlationHeader, r.call.correlationID)
	return metadata.NewOutgoingContext(ctx, md)
}

// firstFor is the first message as a storage is to get it: with the storage's
// own name. The caller owns it.
func (r *request) firstFor(name string) *stream.Frame {
	named := r.named
	if named.Target.StorageName != "" {
		named.Target.StorageName = name
	}
	if named.Additional.StorageName != "" {
		named.Additional.StorageName = name
	}
	if named.Storage != "" {
		named.Storage = name
	}
	data := r.method.Rewrite(r.first.Data(), named)
	if r.stamp != nil {
		data = append(mem.BufferSlice{mem.SliceBuffer(r.stamp)}, data...)
	}
	return stream.NewFrame(data)
}

// target is a connection that knows the storage at its other end.
type target interface {
	grpc.ClientConnInterface
	Target() storage.Target
	// Sidechannels has the calls that wait for a sidechannel; nil if none can come.
	Sidechannels() *channel.Registry
}

// forward passes the call on to one storage and returns how it ended.
func (s *Server) forward(ctx context.Context, r *request, conn target, beforeStatus func(stream.Outcome) error) stream.Outcome {
	ctx, side, err := s.expect(r.outgoing(ctx), r, conn.Sidechannels())
	if err != nil {
		return stream.Outcome{Err: err} // nothing was sent
	}
	call := r.wire
	call.BeforeStatus = side.before(beforeStatus)
	branch, err := stream.Open(ctx, conn, call, r.firstFor(conn.Target().Storage))
	if err != nil {
		_ = side.end()                  // for which nothing came,
		return stream.Outcome{Err: err} // because nothing was sent
	}
	return s.forwarder.Forward(r.stream, call, branch)
}
