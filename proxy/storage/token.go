package storage

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/credentials"
)

// Token returns the value of the authorization header that proves knowledge of
// secret at t. The other side accepts it for 30 s around t by its own clock.
func Token(secret string, t time.Time) string {
	stamp := strconv.FormatInt(t.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(stamp))
	return "Bearer v2." + hex.EncodeToString(mac.Sum(nil)) + "." + stamp
}

type tokenTime struct{}

// WithTokenTime dates the token of RPCs that are started with the returned
// context at t instead of at the moment of sending. A write is dated when its
// route was decided: a process that is paused after that cannot send it late,
// because the storage refuses the token 30 s after t.
func WithTokenTime(ctx context.Context, t time.Time) context.Context {
	return context.WithValue(ctx, tokenTime{}, t)
}

// Credentials returns the per-RPC credentials for a secret: a fresh token for
// each RPC, and no header for an empty secret. They ask for no TLS, as
// Gitaly's do not.
func Credentials(secret string) credentials.PerRPCCredentials { return tokenCredentials(secret) }

type tokenCredentials string

func (c tokenCredentials) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	return c.at(tokenTimeOf(ctx)), nil
}

// at is the metadata of an RPC that is dated t.
func (c tokenCredentials) at(t time.Time) map[string]string {
	if c == "" {
		return nil
	}
	return map[string]string{"authorization": Token(string(c), t)}
}

// tokenTimeOf is the date of an RPC's token.
func tokenTimeOf(ctx context.Context) time.Time {
	if t, ok := ctx.Value(tokenTime{}).(time.Time); ok {
		return t
	}
	return time.Now()
}

// secret is a token that can be replaced: RPCs that begin after that prove to know the new one, on the same connection.
type secret struct {
	current atomic.Pointer[string]
	last    atomic.Pointer[dated]
}

// dated is what RPCs of one second show of a secret. It is never changed.
type dated struct {
	secret   *string
	second   int64
	metadata map[string]string
}

func newSecret(token string) *secret {
	s := &secret{}
	s.current.Store(&token)
	return s
}

// GetRequestMetadata implements credentials.PerRPCCredentials. A token has no finer date than its second, so that all
// RPCs of a second show the same one.
func (s *secret) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	return s.metadata(tokenTimeOf(ctx)), nil
}

// metadata is what an RPC shows that is dated t.
func (s *secret) metadata(t time.Time) map[string]string {
	current, second := s.current.Load(), t.Unix()
	if last := s.last.Load(); last != nil && last.secret == current && last.second == second {
		return last.metadata
	}
	now := &dated{current, second, tokenCredentials(*current).at(time.Unix(second, 0))}
	s.last.Store(now)
	return now.metadata
}

// RequireTransportSecurity implements credentials.PerRPCCredentials.
func (*secret) RequireTransportSecurity() bool { return false }

func (tokenCredentials) RequireTransportSecurity() bool { return false }
