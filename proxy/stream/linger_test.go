package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
)

const linger = 30 * time.Second

// lingeringBranch is a branch to a fake storage of a call with Linger.
func lingeringBranch(tb testing.TB, ctx context.Context, storage *fakeStorage) *Branch {
	tb.Helper()
	branch := fakeBranchIn(ctx, storage, true)
	branch.cancel(nil)
	branch.contexts(ctx, linger)
	storage.ctx = branch.ctx
	return branch
}

// notes are what happened to a call, and when.
type notes struct {
	mu    sync.Mutex
	begun time.Time
	lines []string
}

func (n *notes) note(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lines = append(n.lines, fmt.Sprintf("%s %s", time.Since(n.begun), fmt.Sprintf(format, args...)))
}

// lingeringCall notes what it hears.
func lingeringCall(method string, n *notes) Call {
	n.begun = time.Now()
	call := shape(method)
	call.Linger = linger
	call.Grace = graceOf(time.Second)
	call.BranchEnded = func(branch int, out Outcome) { n.note("branch %d ended", branch) }
	call.Over = func() { n.note("over") }
	return call
}

// A call is given up at once, and no storage hears of that: each ends by itself, or is cancelled after a while.
func TestForwarder_lingers(t *testing.T) {
	for _, tc := range []struct {
		desc      string
		giveUp    func(context.CancelCauseFunc, []*Branch)
		storages  [3]time.Duration // how long each lasts
		want      []string         // the ends of the branches in any order
		code      codes.Code
		cancelled [3]bool
	}{
		{"nothing", func(context.CancelCauseFunc, []*Branch) {}, [3]time.Duration{2 * time.Second, time.Second, time.Second},
			[]string{"1s branch 1 ended", "1s branch 2 ended", "2s branch 0 ended", "2s over"}, codes.OK, [3]bool{}},
		{"the client goes", func(end context.CancelCauseFunc, _ []*Branch) { end(nil) }, [3]time.Duration{4 * time.Second, 5 * time.Second, time.Hour},
			[]string{"1s branch 0 ended", "1s branch 1 ended", "1s branch 2 ended", "31s over"}, codes.Canceled, [3]bool{false, false, true}},
		{"the primary is given up", func(_ context.CancelCauseFunc, branches []*Branch) {
			branches[0].Cancel(status.Error(codes.Aborted, "doomed"))
		},
			[3]time.Duration{4 * time.Second, 5 * time.Second, 6 * time.Second},
			[]string{"1s branch 0 ended", "1s branch 1 ended", "1s branch 2 ended", "6s over"}, codes.Aborted, [3]bool{}},
		{"a secondary is given up", func(_ context.CancelCauseFunc, branches []*Branch) {
			branches[2].Cancel(status.Error(codes.Aborted, "fenced"))
		},
			[3]time.Duration{4 * time.Second, 2 * time.Second, 6 * time.Second},
			[]string{"1s branch 2 ended", "2s branch 1 ended", "4s branch 0 ended", "6s over"}, codes.OK, [3]bool{}},
		{"a secondary is late", func(context.CancelCauseFunc, []*Branch) {}, [3]time.Duration{2 * time.Second, 2 * time.Second, 9 * time.Second},
			[]string{"2s branch 0 ended", "2s branch 1 ended", "3s branch 2 ended", "9s over"}, codes.OK, [3]bool{}},
	} {
		for _, method := range []string{unary, clientStream, serverStream, bidi} {
			bubble(t, tc.desc+method, func(t *testing.T) {
				ctx, end := context.WithCancelCause(t.Context())
				defer end(nil)
				var branches []*Branch
				var n notes
				call := lingeringCall(method, &n)
				var cancelled [3]bool
				for i := range tc.storages {
					storage := &fakeStorage{lasts: tc.storages[i], responses: messages(1)}
					branches = append(branches, lingeringBranch(t, ctx, storage))
					context.AfterFunc(storage.ctx, func() { cancelled[i] = errors.Is(context.Cause(storage.ctx), errLingered) })
				}
				time.AfterFunc(time.Second, func() { tc.giveUp(end, branches) })
				out, _ := forwardBranches(&fakeClient{ctx: ctx}, call, branches...)
				synctest.Wait()
				if got := status.Code(out.Err); got != tc.code {
					t.Errorf("ended with %v, want %v", out.Err, tc.code)
				}
				if slices.Sort(n.lines[:3]); !slices.Equal(n.lines, tc.want) {
					t.Errorf("got %q, want %q", n.lines, tc.want)
				}
				if cancelled != tc.cancelled {
					t.Errorf("cancelled: %v, want %v", cancelled, tc.cancelled)
				}
			})
		}
	}
}

// A storage that is given up while requests come hears of their end only when BranchEnded has seen to it that nothing comes of
// them: it would take them for all.
func TestForwarder_lingersBeforeItHalfCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, end := context.WithCancelCause(t.Context())
		defer end(nil)
		pool := newStrictPool(t)
		hold := make(chan struct{})
		client := &fakeClient{ctx: ctx, requests: []mem.BufferSlice{pool.buffer("message")}, hold: hold, requestsEnd: status.Error(codes.Canceled, "gone")}
		storages := []*fakeStorage{ofFullCall(), ofFullCall()}
		var branches []*Branch
		for _, storage := range storages {
			branch := lingeringBranch(t, ctx, storage)
			branch.first = NewFrame(pool.buffer("first"))
			branches = append(branches, branch)
		}
		var n notes
		call := lingeringCall(bidi, &n)
		call.BranchEnded = func(branch int, _ Outcome) {
			time.Sleep(time.Second)
			select {
			case <-storages[branch].halfClosed:
				t.Errorf("branch %d was half-closed before it ended", branch)
			default:
			}
		}
		time.AfterFunc(time.Second, func() { end(nil); close(hold) })
		out, took := forwardBranches(client, call, branches...)
		if status.Code(out.Err) != codes.Canceled || took != 3*time.Second {
			t.Errorf("ended with %v after %v", out.Err, took)
		}
		for i, storage := range storages {
			if _, open := <-storage.halfClosed; open || storage.got != 2 {
				t.Errorf("storage %d got %d requests", i, storage.got)
			}
		}
		if got := pool.outstanding(); got != 0 || !slices.Equal(n.lines, []string{"3s over"}) {
			t.Errorf("%d buffers left, %q", got, n.lines)
		}
	})
}

// A storage that does not even take the first message keeps nobody waiting for longer than the call.
func TestForwarder_lingersWithAFirstMessageThatIsNotTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, end := context.WithCancelCause(t.Context())
		defer end(nil)
		var n notes
		call := lingeringCall(unary, &n)
		primary, secondary := &fakeStorage{sendTakes: true}, &fakeStorage{}
		branches := []*Branch{lingeringBranch(t, ctx, primary), lingeringBranch(t, ctx, secondary)}
		time.AfterFunc(time.Second, func() { end(status.Error(codes.Aborted, "doomed")) })
		out, took := forwardBranches(&fakeClient{ctx: t.Context()}, call, branches...)
		if status.Code(out.Err) != codes.Aborted || out.Ended || !out.Sent || secondary.got != 0 || took != time.Second {
			t.Errorf("got %+v after %v", out, took)
		}
		synctest.Wait()
		if want := []string{"1s branch 0 ended", "1s branch 1 ended", "31s over"}; !slices.Equal(n.lines, want) {
			t.Errorf("got %q, want %q", n.lines, want)
		}
	})
}

// An instance that stops does not wait for long.
func TestForwarder_waitEndsWhatLingers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, end := context.WithCancelCause(t.Context())
		var n notes
		call := lingeringCall(unary, &n)
		branch := lingeringBranch(t, ctx, &fakeStorage{lasts: time.Hour})
		end(nil)
		var f Forwarder
		f.Forward(&fakeClient{ctx: ctx}, call, branch)
		f.Wait(2 * time.Second)
		if want := []string{"0s branch 0 ended", "2s over"}; !slices.Equal(n.lines, want) {
			t.Errorf("got %q, want %q", n.lines, want)
		}
	})
}
