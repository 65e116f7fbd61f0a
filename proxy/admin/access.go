package admin

import (
	"cmp"
	"context"
	"time"

	gitalyauth "gitlab.com/gitlab-org/gitaly/v16/auth"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"praefect/proxy/skew"
)

// Access tells who may change the cluster. Asking is free to everybody whom the
// listener lets in.
type Access struct {
	// Token is the secret that operators prove to know. Without one, changes are
	// taken on Unix sockets, because whoever may open the socket is an operator, and
	// from whoever proves to know Local.
	Token string
	// Local is the secret in this instance's data directory; see MakeLocalToken.
	Local string
	// Peers takes changes from every caller. It is for a listener that only
	// other instances can use, which have judged the operator already.
	Peers bool
}

// header carries the proof that a caller knows the admin token, in the form in
// which the authorization header carries that of the client token: it is
// bound to the present half minute, and does not tell the secret.
const header = "praefect-admin-authorization"

// check refuses callers that may not change anything.
func (a Access) check(ctx context.Context) error {
	if a.Peers {
		return nil
	}
	if p, ok := peer.FromContext(ctx); ok && a.Token == "" && p.Addr.Network() == "unix" {
		return nil
	}
	secret := cmp.Or(a.Token, a.Local)
	shown := metadata.ValueFromIncomingContext(ctx, header)
	switch {
	case secret == "", a.Token == "" && len(shown) != 1:
		return Errorf(Denied, "this instance has no admin token, so it takes changes on its Unix socket (socket_path), and from tools that can read "+
			"its data directory (-config, raft.data_dir); for others set admin.token_file in its settings")
	case len(shown) != 1:
		return Errorf(Denied, "changes need the admin token: give -admin-token-file, or set PRAEFECT_ADMIN_TOKEN_FILE")
	}
	asAuthorization := metadata.NewIncomingContext(ctx, metadata.Pairs("authorization", shown[0]))
	if err := gitalyauth.CheckToken(asAuthorization, secret, time.Now()); err != nil {
		if ahead, ok := skew.Of(asAuthorization, secret, time.Now()); ok {
			return Errorf(Denied, "the admin token is not valid now: %s", skew.Text(ahead))
		}
		return Errorf(Denied, "this instance has another admin token: give the one of [admin] in its settings by -admin-token-file or PRAEFECT_ADMIN_TOKEN_FILE")
	}
	return nil
}

// Show adds the proof that a client knows the secret to what it sends; without a
// secret it adds nothing.
func Show(ctx context.Context, secret string) (context.Context, error) {
	if secret == "" {
		return ctx, nil
	}
	proof, err := gitalyauth.RPCCredentialsV2(secret).GetRequestMetadata(ctx)
	if err != nil {
		return nil, err
	}
	return metadata.AppendToOutgoingContext(ctx, header, proof["authorization"]), nil
}
