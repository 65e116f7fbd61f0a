package proxy

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/test/must"
)

func TestLostLocks(t *testing.T) {
	lost := attempt{code: codes.Internal, took: 1100 * time.Millisecond, left: 20 * time.Second}
	for name, c := range map[string]struct {
		change func(*attempt)
		want   bool
	}{
		"a lock of a reference":            {func(*attempt) {}, true},
		"as another release says it":       {func(a *attempt) { a.code = codes.Aborted }, true},
		"sooner than git gives up":         {func(a *attempt) { a.took = 900 * time.Millisecond }, false},
		"a refusal":                        {func(a *attempt) { a.code = codes.PermissionDenied }, false},
		"as long again is not left":        {func(a *attempt) { a.left = a.took }, false},
		"once before":                      {func(a *attempt) { a.before = 1 }, false},
		"once before, others contend":      {func(a *attempt) { a.before, a.contended = 1, true }, true},
		"sent again often, others contend": {func(a *attempt) { a.before, a.contended = sentAgain, true }, false},
	} {
		t.Run(name, func(t *testing.T) {
			a := lost
			c.change(&a)
			if got := lostLocks(a); got != c.want {
				t.Errorf("lostLocks(%+v) = %v", a, got)
			}
		})
	}
}

// TestVote_lockOfThePrimary holds the lock of a reference at the primary for longer than git
// waits: the write is sent again, and is on all storages. One that is left for ever fails
// the write with what the primary says.
func TestVote_lockOfThePrimary(t *testing.T) {
	k := newKillingFixture(t)
	lock := filepath.Join(k.dirs["gitaly-1"], "a.git", "refs", "heads", "locked.lock")
	hold := func() {
		t.Helper()
		must.Succeed(t, os.WriteFile(lock, nil, 0o600))
	}
	write := func() error { return k.writeRef(t.Context(), "a.git", "refs/heads/locked", "refs/heads/main") }

	hold()
	ended := make(chan error, 1)
	go func() { ended <- write() }()
	for testutil.ToFloat64(k.server.metrics.sentAgain) == 0 && t.Context().Err() == nil {
		select {
		case err := <-ended:
			t.Fatalf("it was not sent again: %v", err)
		case <-time.After(time.Millisecond):
		}
	}
	must.Succeed(t, os.Remove(lock))
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if on := k.has("refs/heads/locked"); len(on) != 3 {
		t.Errorf("written on %q", on)
	}
	k.closed("a.git")
	if e := k.entry(); e != nil {
		t.Errorf("entry: %+v", e)
	}

	hold()
	if err := write(); status.Code(err) == codes.OK || status.Code(err) == codes.Unavailable {
		t.Errorf("a write to a reference that stays locked: %v", err)
	}
}
