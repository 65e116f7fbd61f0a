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

// bubble runs a test in fake time, where what it says of the time that passes is exact, and where no goroutine may be left.
func bubble(t *testing.T, desc string, test func(t *testing.T)) {
	t.Helper()
	t.Run(desc, func(t *testing.T) { synctest.Test(t, test) })
}

// forwardBranches forwards a call and returns how it ended and how long that took.
func forwardBranches(client *fakeClient, call Call, branches ...*Branch) (Outcome, time.Duration) {
	var f Forwarder
	begun := time.Now()
	out := f.Forward(client, call, branches[0], branches[1:]...)
	took := time.Since(begun)
	f.Wait(time.Hour)
	return out, took
}

// fakeBranches are branches to storages whose statuses arrive.
func fakeBranches(tb testing.TB, storages ...*fakeStorage) (branches []*Branch) {
	for _, storage := range storages {
		branches = append(branches, fakeBranch(tb, storage, true))
	}
	return branches
}

func graceOf(d time.Duration) func(time.Duration) time.Duration {
	return func(time.Duration) time.Duration { return d }
}

// checkBranch compares what is said of a secondary.
func checkBranch(t *testing.T, desc string, got Outcome, ended bool, code codes.Code) {
	t.Helper()
	if got.Ended != ended || status.Code(got.Err) != code {
		t.Errorf("%s: ended %t with %v, want %t with %s", desc, got.Ended, got.Err, ended, code)
	}
}

// A secondary that takes requests slowly, or none, delays a call by a bound and no more, and only itself pays for it.
func TestForwarder_slowSecondary(t *testing.T) {
	const (
		bound    = 10 * time.Second
		requests = 100
		all      = 1 + requests           // with the first
		waits    = requests - queueFrames // requests for which there is room only when another was sent
	)
	for _, tc := range []struct {
		desc   string
		slow   [2]fakeStorage
		delay  time.Duration
		cutOff [2]bool
		got    [2]int
	}{
		{"none", [2]fakeStorage{}, 0, [2]bool{}, [2]int{all, all}},
		{"takes the first alone", [2]fakeStorage{{stuck: 1}}, bound, [2]bool{true, false}, [2]int{1, all}},
		{"takes no more after a while", [2]fakeStorage{{}, {stuck: 20}}, bound, [2]bool{false, true}, [2]int{all, 20}},
		{"two at once share one bound", [2]fakeStorage{{stuck: 1}, {stuck: 1}}, bound, [2]bool{true, true}, [2]int{1, 1}},
		{"one after the other", [2]fakeStorage{{stuck: 1}, {stuck: 30}}, 2 * bound, [2]bool{true, true}, [2]int{1, 30}},
		{"slow, within the bound", [2]fakeStorage{{pace: bound - 1}}, waits * (bound - 1), [2]bool{}, [2]int{all, all}},
		{"slower than the bound", [2]fakeStorage{{pace: bound + 1}}, bound, [2]bool{true, false}, [2]int{1, all}},
		{"two within the bound", [2]fakeStorage{{pace: 1}, {pace: 2}}, waits * 2, [2]bool{}, [2]int{all, all}},
	} {
		bubble(t, tc.desc, func(t *testing.T) {
			storages := []*fakeStorage{ofFullCall(), ofFullCall(), ofFullCall()}
			for i, slow := range tc.slow {
				storages[i+1].stuck, storages[i+1].pace = slow.stuck, slow.pace
			}
			begun := time.Now()
			var delay time.Duration
			call := shape(clientStream)
			call.SlowBound = bound
			call.Grace = graceOf(time.Hour)
			call.BranchEnded = func(branch int, _ Outcome) {
				if branch == 0 {
					delay = time.Since(begun)
				}
			}
			client := &fakeClient{ctx: t.Context(), requests: messages(requests)}
			out, _ := forwardBranches(client, call, fakeBranches(t, storages...)...)

			if out.Err != nil || !out.Ended || storages[0].got != all {
				t.Errorf("the primary took %d requests and ended %t with %v", storages[0].got, out.Ended, out.Err)
			}
			if delay != tc.delay {
				t.Errorf("the client was delayed by %s, want %s", delay, tc.delay)
			}
			for i, other := range out.Others {
				if got := errors.Is(other.Err, ErrTooSlow); got != tc.cutOff[i] || other.Ended == got || !other.Sent {
					t.Errorf("secondary %d: sent %t, ended %t with %v; want it cut off: %t", i, other.Sent, other.Ended, other.Err, tc.cutOff[i])
				}
				if got := storages[i+1].got; got != tc.got[i] {
					t.Errorf("secondary %d took %d requests, want %d", i, got, tc.got[i])
				}
			}
		})
	}
}

func TestForwarder_slowBoundByDefault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		primary, stuck := ofFullCall(), &fakeStorage{stuck: 1, untilCancelled: true}
		client := &fakeClient{ctx: t.Context(), requests: messages(100)}
		out, took := forwardBranches(client, shape(bidi), fakeBranches(t, primary, stuck)...)
		if out.Err != nil || took != DefaultSlowBound {
			t.Errorf("ended with %v after %s", out.Err, took)
		}
	})
}

// What secondaries are given when the primary has ended depends on whether its status arrived.
func TestForwarder_grace(t *testing.T) {
	const grace = 5 * time.Second
	refusal := status.Error(codes.NotFound, "gone")
	for _, tc := range []struct {
		desc      string
		primary   error
		arrived   bool
		grace     func(time.Duration) time.Duration
		secondary fakeStorage
		took      time.Duration
		ended     bool
		code      codes.Code
	}{
		{"ended before", nil, true, graceOf(grace), fakeStorage{}, time.Second, true, codes.OK},
		{"ends within the grace", nil, true, graceOf(grace), fakeStorage{lasts: 3 * time.Second}, 3 * time.Second, true, codes.OK},
		{"does not", nil, true, graceOf(grace), fakeStorage{lasts: time.Hour}, time.Second + grace, false, codes.Canceled},
		{"refuses like the primary", refusal, true, graceOf(grace), fakeStorage{lasts: 3 * time.Second, end: refusal}, 3 * time.Second, true, codes.NotFound},
		{"refuses unlike the primary", nil, true, graceOf(grace), fakeStorage{lasts: 3 * time.Second, end: refusal}, 3 * time.Second, true, codes.NotFound},
		{"no grace", nil, true, nil, fakeStorage{lasts: time.Hour}, time.Second, false, codes.Canceled},
		{"primary lost", status.Error(codes.Unavailable, "lost"), false, graceOf(grace), fakeStorage{lasts: time.Hour}, time.Second, false, codes.Unavailable},
		{"primary lost after this one ended", status.Error(codes.Unavailable, "lost"), false, graceOf(grace), fakeStorage{}, time.Second, true, codes.OK},
		{"grace grows with the call", nil, true, func(elapsed time.Duration) time.Duration { return 7 * elapsed },
			fakeStorage{lasts: time.Hour}, 8 * time.Second, false, codes.Canceled},
	} {
		for _, method := range []string{unary, clientStream, serverStream, bidi} {
			bubble(t, tc.desc+method, func(t *testing.T) {
				primary := &fakeStorage{lasts: time.Second, end: tc.primary}
				call := shape(method)
				call.Grace = tc.grace
				out, took := forwardBranches(&fakeClient{ctx: t.Context()}, call, fakeBranch(t, primary, tc.arrived), fakeBranch(t, &tc.secondary, true))
				if !errors.Is(out.Err, tc.primary) || out.Ended != tc.arrived {
					t.Errorf("ended %t with %v", out.Ended, out.Err)
				}
				if took != tc.took {
					t.Errorf("took %s, want %s", took, tc.took)
				}
				checkBranch(t, "secondary", out.Others[0], tc.ended, tc.code)
			})
		}
	}
}

// Each branch is told of when it ends, whichever way, and the call when all have.
func TestForwarder_tellsOfEachBranch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		var mu sync.Mutex
		var got []string
		note := func(what string, out Outcome) {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, fmt.Sprintf("%s %s: %s %t, %d others", time.Since(begun), what, status.Code(out.Err), out.Ended, len(out.Others)))
		}
		call := shape(unary)
		call.Grace = graceOf(time.Minute)
		call.BranchEnded = func(branch int, out Outcome) { note(fmt.Sprint(branch), out) }
		call.BeforeStatus = func(out Outcome) error { note("all", out); return nil }
		branches := fakeBranches(t,
			&fakeStorage{lasts: 3 * time.Second},
			&fakeStorage{lasts: 4 * time.Second, end: status.Error(codes.Internal, "broken")},
			&fakeStorage{lasts: time.Hour},
			&fakeStorage{lasts: time.Second},
			&fakeStorage{lasts: time.Hour},
		)
		fenced := status.Error(codes.Aborted, "fenced")
		time.AfterFunc(2*time.Second, func() { branches[2].Cancel(fenced) })
		out, _ := forwardBranches(&fakeClient{ctx: t.Context()}, call, branches...)
		want := []string{
			"1s 3: OK true, 0 others",
			"2s 2: Aborted false, 0 others",
			"3s 0: OK true, 0 others",
			"4s 1: Internal true, 0 others",
			"1m3s 4: Canceled false, 0 others",
			"1m3s all: OK true, 4 others",
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		if out.Err != nil || !errors.Is(out.Others[1].Err, fenced) {
			t.Errorf("got %+v", out)
		}
	})
}

// The end of the client is the end of all, but for a secondary whose context is its own and which has grace by then.
func TestForwarder_clientGoes(t *testing.T) {
	for _, tc := range []struct {
		desc      string
		goes      time.Duration // the primary takes two seconds
		code      codes.Code
		took      time.Duration
		own       bool
		ofOwnCode codes.Code
	}{
		{"before the primary's status", time.Second, codes.Canceled, time.Second, false, codes.Canceled},
		{"after it", 3 * time.Second, codes.OK, 4 * time.Second, true, codes.OK},
	} {
		for _, method := range []string{unary, clientStream, serverStream, bidi} {
			bubble(t, tc.desc+method, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				time.AfterFunc(tc.goes, cancel)
				call := shape(method)
				call.Grace = graceOf(time.Minute)
				slow := func() *fakeStorage { return &fakeStorage{lasts: 4 * time.Second} }
				out, took := forwardBranches(&fakeClient{ctx: ctx}, call,
					fakeBranchIn(ctx, &fakeStorage{lasts: 2 * time.Second}, true),
					fakeBranchIn(ctx, slow(), true),
					fakeBranchIn(context.WithoutCancel(ctx), slow(), true),
				)
				if status.Code(out.Err) != tc.code || took != tc.took {
					t.Errorf("ended with %v after %s", out.Err, took)
				}
				checkBranch(t, "in the client's context", out.Others[0], false, codes.Canceled)
				checkBranch(t, "in a context of its own", out.Others[1], tc.own, tc.ofOwnCode)
			})
		}
	}
}

// A client that goes while a secondary is waited for ends the wait. Until then the pump was ahead by what a queue holds.
func TestForwarder_clientGoesWhileOneIsSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		time.AfterFunc(time.Second, cancel)
		stuck := &fakeStorage{stuck: 1, untilCancelled: true}
		const requests = 100
		client := &fakeClient{ctx: ctx, requests: messages(requests)}
		out, took := forwardBranches(client, shape(bidi), fakeBranchIn(ctx, ofFullCall(), true), fakeBranchIn(context.WithoutCancel(ctx), stuck, true))
		if status.Code(out.Err) != codes.Canceled || status.Code(out.ClientErr) != codes.Canceled || took != time.Second {
			t.Errorf("ended with %v after %s", out.Err, took)
		}
		checkBranch(t, "secondary", out.Others[0], false, codes.Canceled)
		if got := requests - len(client.requests); got != queueFrames+1 { // and one in the pump's hand
			t.Errorf("%d requests were read", got)
		}
	})
}

// What the primary was not sent nobody was sent, so that the call can go elsewhere.
func TestForwarder_primaryNotSent(t *testing.T) {
	lost := status.Error(codes.Unavailable, "lost")
	for _, tc := range []struct {
		desc    string
		end     error
		arrived bool
		code    codes.Code
	}{
		{"lost", lost, false, codes.Unavailable},
		{"refused", lost, true, codes.Canceled},
		{"answered", nil, true, codes.Canceled},
	} {
		for _, method := range []string{unary, bidi} {
			bubble(t, tc.desc+method, func(t *testing.T) {
				pool := newStrictPool(t)
				secondary := ofFullCall()
				branches := []*Branch{fakeBranch(t, &fakeStorage{sendFails: true, end: tc.end}, tc.arrived), fakeBranch(t, secondary, true)}
				for _, branch := range branches {
					branch.first = NewFrame(pool.buffer("first"))
				}
				told := 0
				call := shape(method)
				call.Grace = graceOf(time.Minute)
				call.BranchEnded = func(int, Outcome) { told++ }
				client := &fakeClient{ctx: t.Context(), requests: messages(1)}
				out, took := forwardBranches(client, call, branches...)
				if out.Sent || !errors.Is(out.Err, tc.end) || took != 0 {
					t.Errorf("sent %t, ended with %v after %s", out.Sent, out.Err, took)
				}
				checkBranch(t, "secondary", out.Others[0], false, tc.code)
				if out.Others[0].Sent || secondary.got != 0 || told != 2 {
					t.Errorf("sent %t, %d requests; told of %d branches", out.Others[0].Sent, secondary.got, told)
				}
				if len(client.requests) != 1 || pool.outstanding() != 0 {
					t.Errorf("%d requests and %d buffers left", len(client.requests), pool.outstanding())
				}
			})
		}
	}
}

// A secondary that cannot be used has no part in the call, and all that it was to be sent is freed.
func TestForwarder_uselessSecondary(t *testing.T) {
	lost := status.Error(codes.Unavailable, "lost")
	const requests = 3 * queueFrames
	for _, tc := range []struct {
		desc      string
		secondary fakeStorage
		responses int
		arrived   bool
		ended     bool
		code      codes.Code
	}{
		{"cannot be sent to", fakeStorage{sendFails: true, end: lost}, 0, false, false, codes.Unavailable},
		{"lost at once", fakeStorage{end: lost}, 0, false, false, codes.Unavailable},
		{"refuses at once", fakeStorage{end: lost}, 0, true, true, codes.Unavailable},
		{"lost while it takes nothing", fakeStorage{stuck: 1, lasts: time.Second, end: lost}, 0, false, false, codes.Unavailable},
		{"takes nothing", fakeStorage{stuck: 1, untilCancelled: true}, 0, true, false, codes.ResourceExhausted},
		{"takes little", fakeStorage{stuck: queueFrames, untilCancelled: true}, 0, true, false, codes.ResourceExhausted},
		{"floods", fakeStorage{halfClosed: make(chan struct{})}, 1000, true, true, codes.OK},
	} {
		for _, method := range []string{clientStream, bidi} {
			bubble(t, tc.desc+method, func(t *testing.T) {
				pool := newStrictPool(t)
				fill := func(n int) (list []mem.BufferSlice) {
					for range n {
						list = append(list, pool.buffer("message"))
					}
					return list
				}
				call := shape(method)
				call.Grace = graceOf(time.Minute)
				secondary := tc.secondary
				if secondary.halfClosed != nil {
					secondary.halfClosed = make(chan struct{})
				}
				if call.ServerStreams {
					secondary.responses = fill(tc.responses)
				} else {
					secondary.responses = fill(min(tc.responses, 1))
				}
				primary, third := ofFullCall(), ofFullCall()
				branches := []*Branch{fakeBranch(t, primary, true), fakeBranch(t, &secondary, tc.arrived), fakeBranch(t, third, true)}
				for _, branch := range branches {
					branch.first = NewFrame(pool.buffer("first"))
				}
				client := &fakeClient{ctx: t.Context(), requests: fill(requests)}
				out, _ := forwardBranches(client, call, branches...)
				if out.Err != nil || !out.Ended || primary.got != 1+requests || third.got != 1+requests {
					t.Errorf("ended %t with %v, %d and %d requests taken", out.Ended, out.Err, primary.got, third.got)
				}
				checkBranch(t, "secondary", out.Others[0], tc.ended, tc.code)
				checkBranch(t, "third", out.Others[1], true, codes.OK)
				if got := pool.outstanding(); got != 0 {
					t.Errorf("%d buffers left", got)
				}
			})
		}
	}
}

func TestForwarder_secondResponseOfASecondary(t *testing.T) {
	secondary := &fakeStorage{responses: messages(3)}
	out, _ := forwardBranches(&fakeClient{ctx: t.Context()}, shape(unary), fakeBranches(t, &fakeStorage{responses: messages(1)}, secondary)...)
	if out.Err != nil {
		t.Errorf("ended with %v", out.Err)
	}
	checkBranch(t, "secondary", out.Others[0], false, codes.Internal)
}
