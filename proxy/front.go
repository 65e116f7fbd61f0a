package proxy

import (
	"context"
	"fmt"
	"net"
	"runtime/debug"
	"time"

	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"praefect/proxy/channel"
	"praefect/proxy/clientconn"
	"praefect/proxy/frames"
	"praefect/proxy/method"
	"praefect/proxy/stream"
)

// fronted are server credentials that put a front before gRPC's server on each connection.
type fronted struct {
	credentials.TransportCredentials
	server *Server
	tls    bool
}

// Clone implements credentials.TransportCredentials.
func (c fronted) Clone() credentials.TransportCredentials {
	c.TransportCredentials = c.TransportCredentials.Clone()
	return c
}

// ServerHandshake implements credentials.TransportCredentials.
func (c fronted) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := c.TransportCredentials.ServerHandshake(raw)
	if err != nil {
		return nil, nil, err
	}
	client := clientconn.Of(conn.RemoteAddr())
	if client == nil {
		return conn, info, nil // the tap says so to each call
	}
	f := &front{server: c.server, conn: client, ctx: peer.NewContext(context.Background(), &peer.Peer{Addr: conn.RemoteAddr(), AuthInfo: info})}
	cfg := frames.Config{
		PingMinTime: pingMinTime, SendStall: c.server.cfg.SendStall, Drain: drainFronts,
	}
	if _, session := channel.FromContext(f.ctx); !session && !c.tls {
		cfg.Socket = client.Socket()
	}
	return frames.NewFront(conn, f, cfg), info, nil
}

// drainFronts is longer than any call: Shutdown ends the calls when its context does.
const drainFronts = 24 * time.Hour

// plain is a method of which a call needs no more than its first message looked at.
type plain struct {
	method method.Method
	rpc    rpc
}

// framesOutcomes are the outcomes of reads that may be diverted, as the metric counts them.
var framesOutcomes = [...]frames.Why{
	asDiverted, frames.Headers, frames.Message, frames.Slow, whyToken, whyRoute, frames.Bound, whyConnection, frames.Full, frames.Lost,
}

// The outcomes beside the reasons of package frames.
const (
	asDiverted    frames.Why = "diverted"   // gRPC's server never saw the call
	whyToken      frames.Why = "token"      // the connection or the call has not shown the token
	whyRoute      frames.Why = "route"      // the request has a fault, no storage serves, or there is no lease
	whyConnection frames.Why = "connection" // there is no connection for frames to the storage
)

// plainMethods are the reads of a repository with one request and no handling of their own. The
// request of RepositoryExists is one of them where the virtual storage is known.
func (s *Server) plainMethods() map[string]plain {
	all := make(map[string]plain)
	for m := range s.methods.All() {
		reads := m.Kind == method.Accessor && m.Scope == method.ScopeRepository && !m.ClientStreams && m.Refusal == ""
		if reads && (s.special(m.FullName) == nil || m.FullName == existsMethod) {
			all[m.FullName] = plain{m, s.rpcOf(m.FullName, false, m.ClientStreams, m.ServerStreams)}
		}
	}
	return all
}

// front decides which calls of one connection go past gRPC's server: reads that the proxy has nothing
// more to do for than to name a storage. It makes no error: a call that it does not want, and one
// that it finds a fault with, is gRPC's. The goroutine that reads from the client calls it, as it
// calls the tap.
type front struct {
	server *Server
	conn   *clientconn.Conn
	ctx    context.Context // leads to the connection
}

// May implements frames.Policy.
func (f *front) May(_ net.Conn, fields []hpack.HeaderField) (of any, ok bool) {
	defer f.server.survive("", func() { of, ok = nil, false })
	m, ok := f.server.plain[frames.Value(fields, ":path")]
	if !ok {
		return nil, false
	}
	start := time.Now()
	h, ok := readHead(fields)
	if !ok {
		f.counts(frames.Headers)
		return nil, false
	}
	if !f.admits(h, start) {
		f.counts(whyToken)
		return nil, false
	}
	d := &diverted{front: f, rpc: m.rpc, start: start, fields: fields}
	ctx := &callContext{Context: metadata.NewIncomingContext(f.ctx, h.metadata)}
	if h.timeout > 0 {
		ctx.deadline = start.Add(h.timeout)
	}
	d.request = request{ctx: ctx, method: m.method, call: &call{kind: m.method.Kind.String(), correlationID: correlationID(ctx)}}
	return d, true
}

// admits tells whether the tap would admit a call and need nothing more: the first call of a
// connection is for the tap alone, and so is whatever must be counted or refused.
func (f *front) admits(h head, now time.Time) bool {
	a := *f.server.auth.Load()
	switch {
	case !f.conn.Proved():
		return false
	case a.Token == "":
		return true
	case h.proof == "":
		return false
	case f.conn.Remembers(h.proof, a.Token, now):
	default:
		outcome, err := a.check(metadata.NewIncomingContext(f.ctx, h.metadata), f.conn, h.metadata, now)
		if err != nil || outcome != "ok" {
			return false
		}
	}
	f.conn.Prove() // it was proved already: this forgives calls before it
	return true
}

// Divert implements frames.Policy.
func (f *front) Divert(of any, first []byte) (to *frames.Diversion) {
	d := of.(*diverted)
	defer f.server.survive(d.rpc.fullMethod, func() { to = nil })
	d.first = stream.NewFrame(mem.BufferSlice{mem.SliceBuffer(first)})
	if err := f.server.parse(&d.request); err != nil {
		f.counts(whyRoute)
		return nil
	}
	read := readOf(&d.request)
	name, err := f.server.placeRead(&read, func() bool { return false })
	if err != nil {
		f.counts(whyRoute)
		return nil
	}
	conn, err := f.server.storages.Conn(read.Key.VirtualStorage, name)
	if err != nil {
		f.counts(whyRoute)
		return nil
	}
	message := d.firstFor(name).Data() // buffers of the heap, which need not be freed
	backend, fields, ok := conn.Divert(d.rpc.fullMethod)
	if !ok {
		f.counts(whyConnection)
		return nil
	}
	d.conn, d.call.storage, d.received = conn, name, int64(len(first))
	diversion := &frames.Diversion{
		Backend: backend, Fields: d.appendTo(fields), Message: make([][]byte, len(message)), Deadline: d.ctx.(*callContext).deadline,
		Taken: d.taken, Ended: d.ended,
	}
	for i, piece := range message {
		diversion.Message[i] = piece.ReadOnlyData()
	}
	return diversion
}

// Passed implements frames.Policy.
func (f *front) Passed(of any, why frames.Why) {
	d := of.(*diverted)
	defer f.server.survive(d.rpc.fullMethod, func() {})
	f.counts(why)
	switch {
	case why == frames.Lost:
		d.lost()
	case d.conn != nil:
		d.conn.Diverted()
	}
}

// counts counts a call whose method may be diverted.
func (f *front) counts(outcome frames.Why) {
	f.server.metrics.frames.WithLabelValues(string(outcome)).Inc()
}

// Dropped implements frames.Policy.
func (f *front) Dropped(of any, began time.Time) {
	d := of.(*diverted)
	defer f.server.survive(d.rpc.fullMethod, func() {})
	series := f.server.metrics.grpc.Of(d.rpc.fullMethod, forwardedKind)
	series.Started()
	series.Ended(began, codes.Canceled)
	d.authenticated()
	_ = f.server.takenBack(&givenUp{d.ctx}, d.rpc.fullMethod) // the status of a client that has gone
}

// survive ends a call that panics on its way past gRPC; instead says how.
func (s *Server) survive(method string, instead func()) {
	p := recover()
	if p == nil {
		return
	}
	s.metrics.panics.Inc()
	s.log.Error("panic in a call", "grpc.request.fullMethod", cut(method), "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	instead()
}

// callContext is the context of a call that has no stream: it leads to the connection, the headers
// and the deadline of the call, and never ends.
type callContext struct {
	context.Context
	deadline time.Time
}

// Deadline implements context.Context.
func (c *callContext) Deadline() (time.Time, bool) { return c.deadline, !c.deadline.IsZero() }

// givenUp is the context of a call that its client has taken back.
type givenUp struct{ context.Context }

// Err implements context.Context.
func (givenUp) Err() error { return context.Canceled }
