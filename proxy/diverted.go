package proxy

import (
	"time"

	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/proxy/frames"
	"praefect/proxy/storage"
)

// forwardedKind is how calls of methods that no service of this instance has are counted: to the
// library each is a stream in both directions.
const forwardedKind = "bidi_stream"

// storageKind is how calls to storages are counted: each is opened as a stream of responses.
const storageKind = "server_stream"

// diverted is a read on its way past gRPC's server. It counts as much as a read through it: metrics and
// the line of the call are the same.
type diverted struct {
	request
	front  *front
	rpc    rpc
	start  time.Time           // when its headers came
	sent   time.Time           // when it was given to the storage
	fields []hpack.HeaderField // of the client
	conn   *storage.Conn
	// received is the size of the request.
	received int64
}

// taken counts the call, and that to the storage.
func (d *diverted) taken() {
	s := d.front.server
	d.sent = time.Now()
	s.metrics.grpc.Of(d.rpc.fullMethod, forwardedKind).Started()
	s.metrics.reads.WithLabelValues(d.keys[0].VirtualStorage, d.call.storage).Inc()
	if s.cfg.Calls != nil {
		s.cfg.Calls.Of(d.rpc.fullMethod, storageKind).Started()
	}
}

// appendTo appends the client's headers, as request.outgoing passes them on.
func (d *diverted) appendTo(fields []hpack.HeaderField) []hpack.HeaderField {
	for _, field := range d.fields {
		switch field.Name {
		case ":method", ":scheme", ":path", ":authority", "content-type", "te", "user-agent", "grpc-timeout", "grpc-encoding": // of the connection
			continue
		}
		if !forUs(field.Name) {
			fields = append(fields, hpack.HeaderField{Name: field.Name, Value: field.Value})
		}
	}
	return append(fields, hpack.HeaderField{Name: correlationHeader, Value: d.call.correlationID})
}

// authenticated counts the call as the tap would have.
func (d *diverted) authenticated() {
	s := d.front.server
	s.metrics.authentication(*s.auth.Load(), "ok")
}

// over ends the call to the storage.
func (d *diverted) over(responses int, code codes.Code) {
	d.conn.Diverted()
	if calls := d.front.server.cfg.Calls; calls != nil && !d.sent.IsZero() {
		series := calls.Of(d.rpc.fullMethod, storageKind)
		series.Messages(1, responses)
		series.Ended(d.sent, code)
	}
}

// lost is called when gRPC's server gets the call because its storage was lost before it answered. There
// the call counts as if it had just come, but it was counted as started.
func (d *diverted) lost() {
	d.front.conn.Counted(d.rpc.fullMethod)
	d.over(0, codes.Unavailable)
	d.front.server.metrics.retriedReads.WithLabelValues(d.keys[0].VirtualStorage, d.call.storage).Inc()
}

// ended is called when the call has ended.
func (d *diverted) ended(r frames.Result) {
	s := d.front.server
	defer s.survive(d.rpc.fullMethod, func() {})
	series := s.metrics.grpc.Of(d.rpc.fullMethod, forwardedKind)
	if d.sent.IsZero() { // the client went before the storage was asked
		series.Started()
	}
	d.over(r.Responses, r.Code)
	d.front.counts(asDiverted)
	d.authenticated()
	series.Messages(r.Responses, 1)
	series.Ended(d.start, r.Code)
	if r.ClientGone && time.Since(d.start) < soon {
		d.front.conn.TakenBack(time.Now())
	}
	var err error
	if r.Code != codes.OK {
		err = status.Error(r.Code, r.Message)
	}
	d.call.requestBytes, d.call.responseBytes = d.received, r.ResponseBytes
	s.ended(d.ctx, d.call, d.rpc, d.start, err)
}
