package admin

import (
	"context"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/metadata"
)

func TestCall_verify(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	pause := call{"/praefect.admin.v1.AdminService/Pause", []byte(`{"schema":1}`)}
	proof := pause.prove("secret", now)
	for _, tc := range []struct {
		name, secret, proof string
		call                call
		after               time.Duration
		ok                  bool
	}{
		{"now", "secret", proof, pause, 0, true},
		{"later", "secret", proof, pause, time.Hour, true}, // the age is judged apart
		{"another secret", "terces", proof, pause, 0, false},
		{"another method", "secret", proof, call{"/praefect.admin.v1.AdminService/Resume", pause.body}, 0, false},
		{"another body", "secret", proof, call{pause.method, []byte(`{"schema":2}`)}, 0, false},
		{"a byte moved from one part to the next", "secret", proof, call{pause.method + "{", pause.body[1:]}, 0, false},
		{"no call", "secret", proof, call{}, 0, false},
	} {
		ahead, err := tc.call.verify(tc.secret, tc.proof, now.Add(tc.after))
		if (err == nil) != tc.ok || tc.ok && ahead != -tc.after {
			t.Errorf("%s: ahead by %v, %v", tc.name, ahead, err)
		}
	}
}

// TestAccess_proofExpires: a proof is worth nothing half a minute later, and its maker
// is told of the clock only if the secret was right.
func TestAccess_proofExpires(t *testing.T) {
	a := Access{Token: "secret"}
	c := call{"/praefect.admin.v1.AdminService/Pause", []byte("{}")}
	for _, tc := range []struct {
		secret string
		ahead  time.Duration
		says   string // empty: it is taken
	}{
		{"secret", -proofValidity() / 2, ""}, {"secret", proofValidity() / 2, ""},
		{"secret", -2 * proofValidity(), "set the clocks"}, {"secret", 2 * proofValidity(), "set the clocks"},
		{"terces", 2 * proofValidity(), "another admin token"},
	} {
		ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs(header, c.prove(tc.secret, time.Now().Add(tc.ahead))))
		err := a.check(withCall(ctx, c.method, c.body))
		if tc.says == "" && err != nil || tc.says != "" && (err == nil || !strings.Contains(err.Error(), tc.says)) {
			t.Errorf("%q, ahead by %v: got %v", tc.secret, tc.ahead, err)
		}
	}
}

// TestAuthority: the proof of SetAuthoritativeStorage covers all its names, and the reason.
func TestAuthority(t *testing.T) {
	wanted := Authority{VirtualStorage: "default", RelativePath: "a.git", Storage: "gitaly-1", Why: "the disk is göne"}
	outgoing, _ := metadata.FromOutgoingContext(wanted.Show(context.Background(), "secret"))
	ctx := metadata.NewIncomingContext(t.Context(), outgoing)
	if got := Reason(ctx); got != wanted.Why {
		t.Errorf("the reason arrives as %q", got)
	}
	a := Access{Token: "secret"}
	if err := a.check(wanted.Asked(ctx)); err != nil {
		t.Error(err)
	}
	for _, other := range []Authority{
		{"other", "a.git", "gitaly-1", wanted.Why}, {"default", "b.git", "gitaly-1", wanted.Why}, {"default", "a.git", "gitaly-2", wanted.Why},
		{"default", "a.git", "gitaly-1", "another reason"}, {"default", "a.git", "gitaly-1", ""}, {},
	} {
		if err := a.check(other.Asked(ctx)); KindOf(err) != Denied {
			t.Errorf("%+v: got %v", other, err)
		}
	}
}
