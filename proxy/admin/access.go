package admin

import (
	"cmp"
	"context"
	"errors"
	"time"

	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"praefect/proxy/skew"
)

// Access tells which callers may change the cluster. Every caller that the listener admits may ask.
type Access struct {
	// Token is the secret that operators prove to know. Without one, changes are taken on Unix
	// sockets, because a caller that may open the socket is an operator, and from callers that
	// prove to know Local.
	Token string
	// Local is the secret in this instance's data directory; see MakeLocalToken.
	Local string
	// Peers takes changes from every caller. It is for a listener that only
	// other instances can use, which have judged the operator already.
	Peers bool
}

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
	asked, _ := ctx.Value(callKey{}).(call) // without it no proof fits
	ahead, err := asked.verify(secret, shown[0], time.Now())
	switch {
	case errors.Is(err, errProofForm):
		return Errorf(Denied, "%v", err)
	case err != nil:
		return Errorf(Denied, "%v: give the token of [admin] in this instance's settings by -admin-token-file or PRAEFECT_ADMIN_TOKEN_FILE", err)
	case ahead.Abs() > proofValidity():
		return Errorf(Denied, "the admin token is not valid now: %s", skew.Text(ahead))
	}
	return nil
}
