package stream

import (
	"bytes"
	"io"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/experimental"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// strictPool counts its buffers and fills those that come back with rubbish, which it never hands out again: a use after the
// free shows in the bytes, a missing free in the count, and a second free at once.
type strictPool struct {
	tb  testing.TB
	mu  sync.Mutex
	out map[*byte]bool // buffers handed out, by address; false once they are back
}

func newStrictPool(tb testing.TB) *strictPool {
	return &strictPool{tb: tb, out: make(map[*byte]bool)}
}

func (p *strictPool) Get(length int) *[]byte {
	buf := make([]byte, max(length, 2048)) // large enough for package mem to count its references
	p.mu.Lock()
	defer p.mu.Unlock()
	p.out[&buf[0]] = true
	buf = buf[:length]
	return &buf
}

func (p *strictPool) Put(buf *[]byte) {
	full := (*buf)[:cap(*buf)]
	for i := range full {
		full[i] = 0xdb
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.out[&full[0]] {
		p.tb.Error("a buffer came back that was not out")
	}
	p.out[&full[0]] = false
}

// buffer returns a message in one buffer of the pool.
func (p *strictPool) buffer(content string) mem.BufferSlice {
	buf := p.Get(len(content))
	copy(*buf, content)
	return mem.BufferSlice{mem.NewBuffer(buf, p)}
}

func (p *strictPool) outstanding() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, out := range p.out {
		if out {
			n++
		}
	}
	return n
}

func TestCodec_ownsWhatItHolds(t *testing.T) {
	pool := newStrictPool(t)
	frame := new(Frame)
	for _, content := range []string{"first", "second", ""} {
		msg := pool.buffer(content)
		if err := (Codec{}).Unmarshal(msg, frame); err != nil {
			t.Fatal(err)
		}
		msg.Free() // as gRPC does
		if got := string(frame.Data().Materialize()); got != content {
			t.Errorf("holds %q, want %q", got, content)
		}
	}
	if got := pool.outstanding(); got != 1 {
		t.Errorf("%d buffers out while one is held", got)
	}

	sent, err := Codec{}.Marshal(frame)
	if err != nil {
		t.Fatal(err)
	}
	frame.Free()
	frame.Free()
	if got := pool.outstanding(); got != 1 {
		t.Errorf("%d buffers out while gRPC sends one", got)
	}
	sent.Free()
	if got := pool.outstanding(); got != 0 {
		t.Errorf("%d buffers left", got)
	}
}

func TestCodec_otherMessagesAreProtobuf(t *testing.T) {
	want := wrapperspb.String("text")
	data, err := Codec{}.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got wrapperspb.StringValue
	if err := (Codec{}).Unmarshal(data, &got); err != nil || got.GetValue() != "text" {
		t.Errorf("got %v, %v", &got, err)
	}
	if _, err := (Codec{}).Marshal("no message"); err == nil {
		t.Error("a string was marshalled")
	}
	if err := (Codec{}).Unmarshal(data, new(int)); err == nil {
		t.Error("an int was unmarshalled")
	}
}

// Every way through the activeCall gives back every reference, with fakes that behave as gRPC does.
func TestForwarder_freesEveryFrame(t *testing.T) {
	lost := io.ErrUnexpectedEOF
	agree := func(err error) func(Outcome) error { return func(Outcome) error { return err } }
	for _, method := range []string{unary, clientStream, serverStream, bidi} {
		for _, tc := range []struct {
			desc                string
			requests, responses int
			sendErr, end        error
			beforeStatus        func(Outcome) error
			secondaries         int
		}{
			{"nothing", 0, 0, nil, nil, nil, 0},
			{"one each", 1, 1, nil, nil, nil, 0},
			{"several", 5, 5, nil, nil, nil, 0},
			{"several, to several", 5, 5, nil, nil, nil, 2},
			{"client unreachable", 2, 1, lost, nil, nil, 0},
			{"client unreachable, several branches", 2, 1, lost, nil, nil, 2},
			{"storage lost", 2, 1, nil, lost, nil, 0},
			{"all lost", 2, 1, nil, lost, nil, 2},
			{"agreed", 2, 1, nil, nil, agree(nil), 0},
			{"refused", 2, 1, nil, nil, agree(lost), 2},
		} {
			t.Run(tc.desc+method, func(t *testing.T) {
				pool := newStrictPool(t)
				fill := func(n int) (list []mem.BufferSlice) {
					for range n {
						list = append(list, pool.buffer(strings.Repeat("x", 2000)))
					}
					return list
				}
				client := &fakeClient{ctx: t.Context(), sendErr: tc.sendErr}
				storage := &fakeStorage{end: tc.end, responses: fill(tc.responses)}
				call := shape(method)
				call.BeforeStatus = tc.beforeStatus
				if call.ClientStreams {
					client.requests = fill(tc.requests)
				}
				storages := []*fakeStorage{storage}
				for range tc.secondaries {
					storages = append(storages, &fakeStorage{end: tc.end, responses: fill(tc.responses)})
				}
				branches := fakeBranches(t, storages...)
				for _, branch := range branches {
					branch.first = NewFrame(pool.buffer("first"))
				}

				var f Forwarder
				f.Forward(client, call, branches[0], branches[1:]...)
				f.Wait(0)
				for _, storage := range storages {
					client.requests = append(client.requests, storage.responses...)
				}
				for _, left := range client.requests {
					left.Free() // never received
				}
				if got := pool.outstanding(); got != 0 {
					t.Errorf("%d buffers left", got)
				}
			})
		}
	}
}

// The same with gRPC itself on both sides of the proxy and three storages behind it: buffers that are returned too early would
// show in the bytes, and none may be left when all is closed.
func TestForwarder_sharesBuffersWithGRPC(t *testing.T) {
	pool := newStrictPool(t)
	storage := new(shapes)
	seen := make(chan []*wrapperspb.BytesValue, 3)
	storage.behave(func(ss grpc.ServerStream) error {
		// Echo what came, all at the end: the proxy's connection has to hold much on the way.
		var all []*wrapperspb.BytesValue
		defer func() { seen <- all }()
		for {
			msg := new(wrapperspb.BytesValue)
			if err := ss.RecvMsg(msg); err == io.EOF {
				break
			} else if err != nil {
				return err
			}
			all = append(all, msg)
		}
		for _, msg := range all {
			if err := ss.SendMsg(msg); err != nil {
				return err
			}
		}
		return nil
	})
	storageServer := grpc.NewServer()
	storageServer.RegisterService(storage.desc(), nil)

	p := &proxy{outcomes: make(chan Outcome, 10)}
	addr := listen(t, storageServer)
	var conns []*grpc.ClientConn
	for range cap(seen) {
		conns = append(conns, dial(t, addr, grpc.WithStatsHandler(StatsHandler{}), experimental.WithBufferPool(pool)))
	}
	p.storage, p.others = conns[0], []grpc.ClientConnInterface{conns[1], conns[2]}
	server := grpc.NewServer(grpc.ForceServerCodecV2(Codec{}), grpc.UnknownServiceHandler(p.handle), experimental.BufferPool(pool))
	clientConn := dial(t, listen(t, server))

	sizes := []int{0, 1, 100, 1023, 1024, 1025, 16 << 10, 100_000, 1 << 20, 3 << 20}
	c := newClient(t, t.Context(), clientConn, bidi)
	for i, size := range sizes {
		c.send(strings.Repeat(string(rune('a'+i)), size))
	}
	c.closeSend()
	check := func(what string, i int, msg *wrapperspb.BytesValue) {
		if want := bytes.Repeat([]byte{byte('a' + i)}, sizes[i]); !bytes.Equal(msg.GetValue(), want) {
			t.Errorf("%s: message %d of %d bytes is different", what, i, len(want))
		}
	}
	for i := range sizes {
		var msg wrapperspb.BytesValue
		if err := c.stream.RecvMsg(&msg); err != nil {
			t.Fatal(err)
		}
		check("client", i, &msg)
	}
	if c.recv() {
		t.Error("a message too many")
	}
	for range conns {
		all := <-seen
		if len(all) != len(sizes) {
			t.Fatalf("a storage got %d messages, want %d", len(all), len(sizes))
		}
		for i, msg := range all {
			check("storage", i, msg)
		}
	}
	p.outcome(t)

	clientConn.Close()
	server.Stop()
	for _, conn := range conns {
		conn.Close()
	}
	p.forwarder.Wait(0)
	if got := pool.outstanding(); got != 0 {
		t.Errorf("%d of %d buffers left", got, len(pool.out))
	}
}
