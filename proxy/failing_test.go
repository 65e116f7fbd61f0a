package proxy

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/fsm/state"
	"praefect/test/must"
)

// A lock that a killed git left on the primary, or on all storages, fails every write of
// that reference: only the former is the primary's fault.
func TestVote_tellsOfAPrimaryThatCannotWrite(t *testing.T) {
	for _, row := range []struct {
		locked []string
		want   []string // the primaries that were told of
	}{
		{locked: []string{"gitaly-1"}, want: []string{"gitaly-1"}},
		{locked: all},
	} {
		t.Run(fmt.Sprint(row.locked), func(t *testing.T) {
			k := newKillingFixture(t)
			k.server.cfg.FailsFor = time.Nanosecond
			var told []string
			k.server.fails = func(key state.Key, primary, why string) {
				if key != keyOf("a.git") || why == "" {
					t.Errorf("told of %v: %q", key, why)
				}
				told = append(told, primary)
			}
			for _, name := range row.locked {
				must.Succeed(t, os.WriteFile(filepath.Join(k.dirs[name], "a.git", "refs", "heads", "main.lock"), nil, 0o600))
			}
			for i := range failsLeast {
				if len(told) > 0 {
					t.Errorf("told after %d writes", i)
				}
				if err := k.commit(t.Context(), "main", fmt.Sprint("locked", i)); err == nil {
					t.Fatal("written in spite of the lock")
				}
			}
			must.Succeed(t, k.commit(t.Context(), "other", "works"))
			if !slices.Equal(told, row.want) {
				t.Errorf("told of %q, want %q", told, row.want)
			}
		})
	}
}

func TestFailing_tellsAfterEnoughForLongEnough(t *testing.T) {
	key, other := state.Key{VirtualStorage: "default", RelativePath: "a.git"}, state.Key{VirtualStorage: "default", RelativePath: "b.git"}
	var f failing
	began := time.Now()
	for _, step := range []struct {
		at      time.Duration
		worked  bool
		key     state.Key
		primary string
		want    bool
	}{
		{at: 0, key: key, primary: "g1"},
		{at: time.Minute, key: key, primary: "g1"}, // long enough, and not enough of them
		{at: time.Minute, key: other, primary: "g1"},
		{at: 61 * time.Second, key: key, primary: "g1", want: true},
		{at: 62 * time.Second, key: key, primary: "g1"}, // counted again
		{at: 63 * time.Second, key: key, primary: "g1"},
		{at: 64 * time.Second, key: key, primary: "g1"}, // enough, and not long enough
		{at: 80 * time.Second, key: key, primary: "g1", worked: true},
		{at: 100 * time.Second, key: key, primary: "g1"},
		{at: 110 * time.Second, key: key, primary: "g2"}, // of another primary
		{at: 131 * time.Second, key: key, primary: "g2"},
		{at: 140 * time.Second, key: key, primary: "g2", want: true},
		{at: 150 * time.Second, key: key, primary: "g2"},
		{at: 160 * time.Second, key: key, primary: "g2"},
		{at: 170 * time.Second, key: key, primary: "g3", worked: true},
		{at: 190 * time.Second, key: key, primary: "g2"}, // in a row again
	} {
		if step.worked {
			f.worked(step.key, step.primary)
			continue
		}
		if got := f.failed(step.key, step.primary, began.Add(step.at), 30*time.Second); got != step.want {
			t.Errorf("at %v: got %t, want %t", step.at, got, step.want)
		}
	}
}

func TestFailing_isBounded(t *testing.T) {
	var f failing
	for i := range failsKept + 10 {
		f.failed(state.Key{RelativePath: fmt.Sprint(i)}, "g1", time.Now(), time.Hour)
	}
	if len(f.list) != failsKept {
		t.Errorf("got %d, want %d", len(f.list), failsKept)
	}
}

// Once there are enough failed writes, a repository counts until one succeeds at the primary that failed it, or it has rested
// for a while.
func TestFailing_countsWhatFailsNow(t *testing.T) {
	a, b := state.Key{VirtualStorage: "default", RelativePath: "a.git"}, state.Key{VirtualStorage: "default", RelativePath: "b.git"}
	var f failing
	now := time.Now()
	want := func(n int) {
		t.Helper()
		if got := f.count(now)[[2]string{"default", "g1"}]; got != n {
			t.Errorf("got %d, want %d", got, n)
		}
	}
	f.failed(a, "g1", now, time.Hour)
	f.failed(b, "g1", now, time.Hour)
	want(0) // so few may be chance
	f.failed(a, "g1", now, 0)
	f.failed(b, "g1", now, 0)
	f.failed(b, "g1", now, 0)
	want(2)
	f.worked(a, "g2") // it has stepped down
	want(2)
	f.worked(a, "g1")
	want(1)
	now = now.Add(failsShown)
	want(0)
	if len(f.list) > 0 {
		t.Errorf("%d are kept", len(f.list))
	}
}

// A limit of the storage is no fault of the replica, and a full disk is one.
func TestLimited(t *testing.T) {
	full := status.New(codes.ResourceExhausted, "no space left on device")
	busy, err := full.WithDetails(&gitalypb.LimitError{ErrorMessage: "too many calls"})
	must.Succeed(t, err)
	if limited(full.Err()) || !limited(busy.Err()) {
		t.Errorf("a full disk is a limit: %t; a limit is one: %t", limited(full.Err()), limited(busy.Err()))
	}
}
