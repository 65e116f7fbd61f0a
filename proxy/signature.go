package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"

	"praefect/fsm/state"
	"praefect/proxy/stream"
)

const (
	// signatureMethod came with Gitaly 18; the compiled-in API does not have it.
	signatureMethod = "/gitaly.ServerService/ServerSignature"
	// fieldPublicKey is the one field of its answer. Its request has none.
	fieldPublicKey protowire.Number = 1
)

// serverServiceDesc is ServerService with the method that later releases add.
func serverServiceDesc() *grpc.ServiceDesc {
	desc := gitalypb.ServerService_ServiceDesc
	desc.Methods = append(slices.Clip(desc.Methods), grpc.MethodDesc{
		MethodName: "ServerSignature",
		Handler: func(srv any, ctx context.Context, decode func(any) error, intercept grpc.UnaryServerInterceptor) (any, error) {
			request := new(stream.Frame)
			if err := decode(request); err != nil {
				return nil, err
			}
			request.Free() // there is nothing in it
			handle := func(ctx context.Context, _ any) (any, error) { return srv.(serverService).serverSignature(ctx) }
			return intercept(ctx, request, &grpc.UnaryServerInfo{Server: srv, FullMethod: signatureMethod}, handle)
		},
	})
	return &desc
}

// serverSignature returns the key that commits made by the storages are signed
// with. Every serving storage is asked: where their keys differ, it depends on the
// storage whether a signature holds, and no answer is better than one of them.
func (s serverService) serverSignature(ctx context.Context) (*stream.Frame, error) {
	ctx, cancel := context.WithTimeout(ctx, s.server.cfg.InfoTimeout)
	defer cancel()
	view := s.server.node.View()
	var key []byte
	var from string // the storage that gave it
	for i := range view.VirtualStorages {
		vs := &view.VirtualStorages[i]
		for j := range vs.Succession {
			st := &vs.Succession[j]
			if st.State != state.Serving {
				continue
			}
			got, err := s.publicKey(ctx, vs.Name, st.Name)
			if err != nil {
				return nil, status.Error(status.Code(toStatus(err)), fmt.Sprintf("signature of storage %q: %v", st.Name, err))
			}
			if from != "" && !bytes.Equal(got, key) {
				return nil, status.Errorf(codes.Internal, "storages %q and %q sign with different keys: give them the same one", from, st.Name)
			}
			key, from = got, st.Name
		}
	}
	answer := protowire.AppendTag(nil, fieldPublicKey, protowire.BytesType)
	return stream.NewFrame(mem.BufferSlice{mem.SliceBuffer(protowire.AppendBytes(answer, key))}), nil
}

// publicKey asks one storage.
func (s serverService) publicKey(ctx context.Context, virtualStorage, name string) (key []byte, err error) {
	conn, err := s.server.storages.Conn(virtualStorage, name)
	if err != nil {
		return nil, err
	}
	answer := new(stream.Frame)
	defer answer.Free()
	if err := conn.Invoke(ctx, signatureMethod, new(stream.Frame), answer, grpc.ForceCodecV2(stream.Codec{})); err != nil {
		return nil, err
	}
	for b := answer.Data().Materialize(); len(b) > 0; {
		num, typ, n := protowire.ConsumeField(b)
		if n < 0 {
			return nil, protowire.ParseError(n)
		}
		if num == fieldPublicKey && typ == protowire.BytesType {
			_, _, tag := protowire.ConsumeTag(b)
			key, _ = protowire.ConsumeBytes(b[tag:n]) // ConsumeField has seen that they are there
		}
		b = b[n:]
	}
	if len(key) == 0 {
		return nil, errors.New("it has no key to sign with: none is configured there")
	}
	return key, nil
}
