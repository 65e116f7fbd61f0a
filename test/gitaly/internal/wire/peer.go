package wire

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	gitalyauth "gitlab.com/gitlab-org/gitaly/v16/auth"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
)

// serversKey is the header that tells a storage how to reach others.
const serversKey = "gitaly-servers"

// server is how to reach one storage, as the header has it.
type server struct {
	Address string `json:"address"`
	Token   string `json:"token"`
}

// DialPeer returns a connection to the server which the call in ctx names for
// storage in its gitaly-servers header. It does not wait for the server; the
// caller closes it.
func DialPeer(ctx context.Context, storage string) (*grpc.ClientConn, error) {
	values := metadata.ValueFromIncomingContext(ctx, serversKey)
	if len(values) == 0 {
		return nil, InvalidArgument("no %s header", serversKey)
	}
	raw, err := base64.StdEncoding.DecodeString(values[0])
	if err != nil {
		return nil, InvalidArgument("decode %s header: %v", serversKey, err)
	}
	var servers map[string]server
	if err := json.Unmarshal(raw, &servers); err != nil {
		return nil, InvalidArgument("decode %s header: %v", serversKey, err)
	}
	peer, ok := servers[storage]
	if !ok {
		return nil, InvalidArgument("storage %q is not in the %s header", storage, serversKey)
	}
	return Dial(peer.Address, peer.Token)
}

// PeerContext returns ctx with the headers that a call made on behalf of the
// incoming one carries: where the other servers are, and nothing else.
func PeerContext(ctx context.Context) context.Context {
	for _, value := range metadata.ValueFromIncomingContext(ctx, serversKey) {
		ctx = metadata.AppendToOutgoingContext(ctx, serversKey, value)
	}
	return ctx
}

// WithServer returns ctx with a header that tells the server called how to
// reach storage.
func WithServer(ctx context.Context, storage, address, token string) (context.Context, error) {
	raw, err := json.Marshal(map[string]server{storage: {Address: address, Token: token}})
	if err != nil {
		return nil, fmt.Errorf("encode %s header: %w", serversKey, err)
	}
	return metadata.AppendToOutgoingContext(ctx, serversKey, base64.StdEncoding.EncodeToString(raw)), nil
}

// Dial returns a lazy connection to a Gitaly address: tcp://host:port,
// tls://host:port, unix:path or dns:host:port. Calls carry the v2 token unless
// it is empty.
func Dial(address, token string) (*grpc.ClientConn, error) {
	target, creds := address, insecure.NewCredentials()
	switch scheme, rest, _ := strings.Cut(address, ":"); scheme {
	case "tcp":
		target = "passthrough:///" + strings.TrimPrefix(rest, "//")
	case "tls":
		target = "passthrough:///" + strings.TrimPrefix(rest, "//")
		creds = credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS12})
	case "unix", "dns":
	default:
		return nil, InvalidArgument("invalid connection string: %q", address)
	}
	options := []grpc.DialOption{grpc.WithTransportCredentials(creds), grpc.WithDisableServiceConfig(), grpc.WithNoProxy()}
	if token != "" {
		options = append(options, grpc.WithPerRPCCredentials(gitalyauth.RPCCredentialsV2(token)))
	}
	conn, err := grpc.NewClient(target, options...)
	if err != nil {
		return nil, fmt.Errorf("dial %q: %w", address, err)
	}
	return conn, nil
}
