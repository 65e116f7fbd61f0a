package membership

import (
	"context"
	"fmt"

	"google.golang.org/grpc"

	"praefect/consensus/member"
	"praefect/consensus/peer"
)

// The calls about members between instances.
const (
	callIntroduce = "Introduce"
	callJoin      = "Join"
	callStatus    = "Status"
)

// nothing is a request without content.
type nothing struct{}

// Methods are the group's answers to peers.
func Methods(g *Group) []grpc.MethodDesc {
	return []grpc.MethodDesc{
		peer.Method(callIntroduce, func(context.Context, peer.Addr, nothing) (introduction, error) { return g.introduce(), nil }),
		peer.Method(callJoin, g.letJoin),
		peer.Method(callStatus, func(context.Context, peer.Addr, nothing) (member.InstanceStatus, error) { return g.ownStatus(), nil }),
	}
}

// Call makes one call to the instance at addr.
func Call[Response, Request any](ctx context.Context, c *peer.Clients, addr, name string, request Request) (Response, error) {
	cc, err := c.To(addr)
	if err != nil {
		var none Response
		return none, err
	}
	response, err := peer.Call[Response](ctx, cc, name, request)
	if err != nil {
		return response, fmt.Errorf("call %s of the peer at %s: %w", name, addr, err)
	}
	return response, nil
}
