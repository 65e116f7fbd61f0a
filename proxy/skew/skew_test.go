package skew_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"testing"
	"time"

	"google.golang.org/grpc/metadata"

	"praefect/proxy/skew"
)

// token is one of the second version, made at a time.
func token(secret string, at time.Time) string {
	message := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(message))
	return "Bearer v2." + hex.EncodeToString(mac.Sum(nil)) + "." + message
}

func TestOf(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	for _, tc := range []struct {
		name, header string
		want         time.Duration
		ok           bool
	}{
		{"right", token("secret", now), 0, true},
		{"ahead", token("secret", now.Add(47*time.Second)), 47 * time.Second, true},
		{"behind", token("secret", now.Add(-time.Hour)), -time.Hour, true},
		{"another secret", token("guess", now.Add(47*time.Second)), 0, false},
		{"no token", "", 0, false},
		{"no time", "Bearer v2.00.now", 0, false},
		{"not v2", "Bearer secret", 0, false},
	} {
		ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs("authorization", tc.header))
		if got, ok := skew.Of(ctx, "secret", now); got != tc.want || ok != tc.ok {
			t.Errorf("%s: got %v %v, want %v %v", tc.name, got, ok, tc.want, tc.ok)
		}
	}
}

func TestText_namesTheNextStep(t *testing.T) {
	const want = "the token is right, but the sender's clock is 47s behind this instance's, and at most 30s are allowed: set the clocks"
	if got := skew.Text(-47 * time.Second); got != want {
		t.Errorf("got %q", got)
	}
}
