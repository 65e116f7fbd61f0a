package storage

import (
	"testing"
	"time"
)

// An RPC shows the token of its own second and of the present secret, whatever an RPC before it showed.
func TestSecret_datesEachRPC(t *testing.T) {
	s := newSecret("first")
	at := func(now time.Time) string {
		t.Helper()
		md, err := s.GetRequestMetadata(WithTokenTime(t.Context(), now))
		if err != nil {
			t.Fatal(err)
		}
		return md["authorization"]
	}
	now := time.Unix(1_800_000_000, 0)
	for _, step := range []struct {
		desc, secret string
		now          time.Time
	}{
		{"the first RPC", "first", now},
		{"one in the same second", "first", now.Add(999 * time.Millisecond)},
		{"one in the next second", "first", now.Add(time.Second)},
		{"one that was dated before", "first", now},
		{"one in the same second after the secret was replaced", "second", now},
		{"one after the secret was taken away", "", now},
		{"one after the first secret is back", "first", now},
	} {
		if *s.current.Load() != step.secret {
			s.current.Store(&step.secret)
		}
		want := ""
		if step.secret != "" {
			want = Token(step.secret, step.now)
		}
		if got := at(step.now); got != want {
			t.Errorf("%s: got %q, want %q", step.desc, got, want)
		}
	}
}

// RPCs of one second share one token.
func TestSecret_makesOneTokenASecond(t *testing.T) {
	s := newSecret("secret")
	ctx := WithTokenTime(t.Context(), time.Unix(1_800_000_000, 0))
	show := func() {
		if _, err := s.GetRequestMetadata(ctx); err != nil {
			t.Fatal(err)
		}
	}
	show()
	if allocs := testing.AllocsPerRun(100, show); allocs > 0 {
		t.Errorf("%v allocations for each further RPC", allocs)
	}
}
