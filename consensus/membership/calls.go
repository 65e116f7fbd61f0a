package membership

import (
	"context"

	"google.golang.org/grpc"

	"praefect/consensus/member"
	"praefect/consensus/peer"
)

// The calls about members between instances.
var (
	callIntroduce = peer.Method[nothing, introduction]("Introduce")
	callJoin      = peer.Method[application, joinDecision]("Join")
	callStatus    = peer.Method[nothing, member.InstanceStatus]("Status")
)

// nothing is a request without content.
type nothing struct{}

// Methods are the group's answers to peers.
func Methods(g *Group) []grpc.MethodDesc {
	return []grpc.MethodDesc{
		callIntroduce.Answer(func(context.Context, peer.Addr, nothing) (introduction, error) { return g.introduce(), nil }),
		callJoin.Answer(g.letJoin),
		callStatus.Answer(func(context.Context, peer.Addr, nothing) (member.InstanceStatus, error) { return g.ownStatus(), nil }),
	}
}
