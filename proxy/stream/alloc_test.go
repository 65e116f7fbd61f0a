package stream

import (
	"testing"

	"google.golang.org/grpc/mem"
)

// forwardFakes forwards a call of n messages in each direction that the method streams in, between streams that allocate
// nothing themselves.
func forwardFakes(tb testing.TB, method string, msgs []mem.BufferSlice) {
	call := shape(method)
	client := &fakeClient{ctx: tb.Context(), quiet: true}
	storage := &fakeStorage{}
	if call.ClientStreams {
		client.requests = msgs
	}
	if call.ServerStreams {
		storage.responses = msgs
	}
	var f Forwarder
	out := f.Forward(client, call, fakeLeg(tb, storage, true))
	f.Wait()
	if out.Err != nil || len(client.requests) > 0 || len(storage.responses) > 0 {
		tb.Fatalf("forwarded with %v, %d and %d messages left", out.Err, len(client.requests), len(storage.responses))
	}
}

// TestForwarder_allocatesNothingPerFrame compares calls that differ in nothing but the number of messages.
func TestForwarder_allocatesNothingPerFrame(t *testing.T) {
	const few, many = 2, 1002
	for _, method := range []string{clientStream, serverStream, bidi} {
		t.Run(method, func(t *testing.T) {
			allocs := func(n int) float64 {
				msgs := messages(n)
				return testing.AllocsPerRun(100, func() { forwardFakes(t, method, msgs) })
			}
			// A goroutine that is not reused is an allocation too, which some runs have and others have not.
			if perFrame := (allocs(many) - allocs(few)) / (many - few); perFrame > 0.005 {
				t.Errorf("%.3f allocations per frame", perFrame)
			}
		})
	}
}

// BenchmarkForwarder_frame is the cost of one frame in the proxy's own code, and of a call with no frame but the first.
func BenchmarkForwarder_frame(b *testing.B) {
	b.Run("frame", func(b *testing.B) {
		b.ReportAllocs()
		msgs := messages(1)[0]
		list := make([]mem.BufferSlice, b.N)
		for i := range list {
			list[i] = msgs
		}
		b.ResetTimer()
		forwardFakes(b, serverStream, list)
	})
	b.Run("call", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			forwardFakes(b, unary, nil)
		}
	})
}
