package stream

import (
	"fmt"
	"testing"

	"google.golang.org/grpc/mem"
)

// forwardFakes forwards a call of n messages in each direction that the method streams in, between streams that allocate
// nothing themselves.
func forwardFakes(tb testing.TB, method string, msgs []mem.BufferSlice, secondaries int) {
	call := shape(method)
	call.Grace = graceOf(patience)
	client := &fakeClient{ctx: tb.Context(), quiet: true}
	branches, storages := make([]*Branch, 1+secondaries), make([]*fakeStorage, 1+secondaries)
	for i := range branches {
		storages[i] = &fakeStorage{}
		if call.ClientStreams && secondaries > 0 {
			storages[i] = ofFullCall()
		}
		if call.ServerStreams {
			storages[i].responses = msgs
		}
		branches[i] = fakeBranch(tb, storages[i], true)
	}
	if call.ClientStreams {
		client.requests = msgs
	}
	var f Forwarder
	out := f.Forward(client, call, branches[0], branches[1:]...)
	f.Wait(0)
	if out.Err != nil || len(client.requests) > 0 {
		tb.Fatalf("forwarded with %v, %d messages left", out.Err, len(client.requests))
	}
	for i, storage := range storages {
		want := 1
		if call.ClientStreams {
			want += len(msgs)
		}
		if len(storage.responses) > 0 || storage.got != want {
			tb.Fatalf("storage %d got %d messages, want %d; %d messages left", i, storage.got, want, len(storage.responses))
		}
	}
}

// TestForwarder_allocatesNothingPerFrame compares calls that differ in nothing but the number of messages.
func TestForwarder_allocatesNothingPerFrame(t *testing.T) {
	const few, many = 2, 1002
	for _, method := range []string{clientStream, serverStream, bidi} {
		for _, secondaries := range []int{0, 2} {
			t.Run(fmt.Sprintf("%s/%d branches", method, 1+secondaries), func(t *testing.T) {
				allocs := func(n int) float64 {
					msgs := messages(n)
					return testing.AllocsPerRun(100, func() { forwardFakes(t, method, msgs, secondaries) })
				}
				// A goroutine that is not reused is an allocation too, which some runs have and others have not.
				if perFrame := (allocs(many) - allocs(few)) / (many - few); perFrame > 0.005 {
					t.Errorf("%.3f allocations per frame", perFrame)
				}
			})
		}
	}
}

// BenchmarkForwarder_frame is the cost of one frame in the proxy's own code, and of a call with no frame but the first.
func BenchmarkForwarder_frame(b *testing.B) {
	frames := func(b *testing.B, method string, secondaries int) {
		b.ReportAllocs()
		msgs := messages(1)[0]
		list := make([]mem.BufferSlice, b.N)
		for i := range list {
			list[i] = msgs
		}
		b.ResetTimer()
		forwardFakes(b, method, list, secondaries)
	}
	b.Run("frame", func(b *testing.B) { frames(b, serverStream, 0) })
	b.Run("call", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			forwardFakes(b, unary, nil, 0)
		}
	})
	b.Run("request", func(b *testing.B) { frames(b, clientStream, 0) })
	b.Run("request, 3 branches", func(b *testing.B) { frames(b, clientStream, 2) })
	b.Run("call, 3 branches", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			forwardFakes(b, unary, nil, 2)
		}
	})
}
