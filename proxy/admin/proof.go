package admin

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	gitalyauth "gitlab.com/gitlab-org/gitaly/v16/auth"
	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/metadata"
)

// header carries the proof that a caller knows the admin token. The proof covers the
// present time, the method and the content of the request, and does not tell the secret:
// a proof that was read on its way serves only for the change that its operator asked for, and
// a repeated request is answered by its id and not carried out again.
const header = "praefect-admin-authorization"

// proofVersion begins a proof, so that another form can be told from a wrong one.
const proofVersion = "v1"

var (
	errProofForm   = errors.New("the proof of the admin token has another form: use the praefectctl of this release")
	errProofSecret = errors.New("the proof was made with another admin token, or for another request")
)

// call is the part of a request that a proof covers, besides the time.
type call struct {
	method string // in full
	body   []byte
}

type callKey struct{}

// withCall notes which call ctx belongs to, so that a proof can be compared with it.
func withCall(ctx context.Context, method string, body []byte) context.Context {
	return context.WithValue(ctx, callKey{}, call{method, body})
}

// sign returns the code of a proof for a call at a time.
func (c call) sign(secret, stamp string) []byte {
	code := hmac.New(sha256.New, []byte(secret))
	// Each part behind its length, so that no two calls have the same text.
	for _, part := range []string{"praefect admin", stamp, c.method, string(c.body)} {
		fmt.Fprintf(code, "%d:%s", len(part), part) // a hash returns no error
	}
	return code.Sum(nil)
}

// prove returns the proof for a call that is made now.
func (c call) prove(secret string, now time.Time) string {
	stamp := strconv.FormatInt(now.Unix(), 10)
	return fmt.Sprintf("%s.%x.%s", proofVersion, c.sign(secret, stamp), stamp)
}

// verify checks a proof, and returns by how much its maker's clock is ahead of now.
func (c call) verify(secret, proof string, now time.Time) (ahead time.Duration, err error) {
	parts := strings.Split(proof, ".")
	if len(parts) != 3 || parts[0] != proofVersion {
		return 0, errProofForm
	}
	shown, err := hex.DecodeString(parts[1])
	if err != nil {
		return 0, errProofForm
	}
	seconds, err := strconv.ParseInt(parts[2], 10, 64)
	if err != nil {
		return 0, errProofForm
	}
	if !hmac.Equal(shown, c.sign(secret, parts[2])) {
		return 0, errProofSecret
	}
	return time.Unix(seconds, 0).Sub(now), nil
}

// proofValidity is how far the clocks of both sides may be apart.
func proofValidity() time.Duration { return gitalyauth.TokenValidityDuration() }

// show adds the proof for a call to the metadata that a client sends; without a secret it adds
// nothing.
func show(ctx context.Context, secret, method string, body []byte) context.Context {
	if secret == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, header, call{method, body}.prove(secret, time.Now()))
}

// whyHeader carries the reason for a SetAuthoritativeStorage, whose request has no place for it.
const whyHeader = "praefect-why-bin"

// Authority is the request of SetAuthoritativeStorage of Gitaly's API. It is no method of
// the service in this package, so the proof covers the three names and the reason.
type Authority struct {
	VirtualStorage, RelativePath, Storage string
	// Why is the reason for the record; it may be empty.
	Why string `json:",omitempty"`
}

// Reason returns the reason that came with the call of ctx, or "".
func Reason(ctx context.Context) string {
	if values := metadata.ValueFromIncomingContext(ctx, whyHeader); len(values) > 0 {
		return values[len(values)-1]
	}
	return ""
}

const authorityMethod = gitalypb.PraefectInfoService_SetAuthoritativeStorage_FullMethodName

// body is the text that a proof covers.
func (a Authority) body() []byte {
	text, err := json.Marshal(a)
	if err != nil { // four texts
		panic(err)
	}
	return text
}

// Show adds the reason, and the proof that the client knows the secret, to the metadata of the
// request.
func (a Authority) Show(ctx context.Context, secret string) context.Context {
	if a.Why != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, whyHeader, a.Why)
	}
	return show(ctx, secret, authorityMethod, a.body())
}

// Asked notes that ctx is that of the request, for MayChange and AcceptLoss of a Service.
func (a Authority) Asked(ctx context.Context) context.Context {
	return withCall(ctx, authorityMethod, a.body())
}
