package frames

import (
	"net"
	"syscall"
	"time"

	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/codes"
)

// Policy decides which calls are diverted, and where they go. Its methods are called by the goroutine that reads from the client,
// and must not block.
type Policy interface {
	// May is asked when the headers of a call have arrived. False passes the call. The value that it returns is kept for Divert
	// and Dropped. The fields, pseudo-headers included, must not be changed; they may be kept if the call may be diverted.
	May(client net.Conn, fields []hpack.HeaderField) (call any, ok bool)
	// Divert is asked with the first and only message of a call, without its prefix. It returns nil to pass the call. The
	// message stays valid until the call has ended or was passed.
	Divert(call any, first []byte) *Diversion
	// Passed is told of a call that the policy wanted, and that gRPC's server gets after all. No nil of Divert is told.
	Passed(call any, why Why)
	// Dropped is told of a held call that the client reset before Divert was asked. gRPC's server never sees that call.
	Dropped(call any, began time.Time)
}

// Why says why gRPC's server gets a call that the policy wanted.
type Why string

const (
	// Headers are not those of a plain call, or very long.
	Headers Why = "headers"
	// Message is not one message, or one that is compressed or larger than 64 KiB.
	Message Why = "message"
	// Slow says that the message was not whole after Config.Hold.
	Slow Why = "slow"
	// Bound says that the connection has reached Config.Held or Config.Ahead, or that too much waits for its client.
	Bound Why = "bound"
	// Full says that the Backend did not take the call.
	Full Why = "full"
	// Lost says that the storage was lost before it answered, or that the Backend was told to yield. It follows Taken.
	Lost Why = "lost"
)

// Diversion says where a call goes. Its functions are called without a lock, by any goroutine, and must not block.
type Diversion struct {
	Backend *Backend
	// Serve, if not nil, answers the call here, in the place of a Backend: it is called once, in the goroutine that reads from the
	// client, and must not block. Of the other fields only Deadline and Ended count then.
	Serve func(Answer)
	// Fields are the headers for the storage, pseudo-headers first. They have no grpc-timeout, which is added for the Deadline.
	Fields []hpack.HeaderField
	// Message is the message for the storage in pieces, without its prefix. It must stay unchanged until the call has ended.
	Message [][]byte
	// Deadline ends the call; zero for none. See [Timeout].
	Deadline time.Time
	// Headers, if not nil, gets the headers of the answer and returns the headers for the client. It is called for headers that
	// stand before messages, and not for an answer that is nothing but a status. It runs under a lock of the connection.
	Headers func([]hpack.HeaderField) []hpack.HeaderField
	// Taken is called when the Backend has taken the call, before all that comes of it. It runs under a lock of the connection.
	Taken func()
	// Ended is called once if the call ended here, however it ended; Policy.Passed in its place if gRPC's server gets the call.
	Ended func(Result)
}

// Answer ends a call that is answered here: with a message, without its prefix, if the code is OK. It may be called by any goroutine,
// but with no lock that Diversion.Ended takes, and does nothing once the call has ended.
type Answer func(code codes.Code, text string, message []byte)

// Result says how a diverted call ended.
type Result struct {
	// Code and Message are the status as the client gets it, or Canceled if the client is gone.
	Code    codes.Code
	Message string
	// FromStorage tells that the status arrived from the storage.
	FromStorage bool
	// Header and Trailer are the fields that the storage sent; nil if it did not send them. An answer that is nothing but a status
	// has them in Trailer.
	Header, Trailer []hpack.HeaderField
	// RequestBytes and ResponseBytes are the bytes of the messages without their prefixes; Responses is how many whole messages
	// were sent to the client.
	RequestBytes, ResponseBytes int64
	Responses                   int
	// ClientGone tells that the client reset the call or hung up.
	ClientGone bool
	// Began is when the call's headers arrived, Sent when the request was handed to the Backend, Answered when the first frame of
	// the answer came; Answered is zero without an answer.
	Began, Sent, Answered time.Time
}

// Config bounds a Front. A zero value stands for the default.
type Config struct {
	// Held is how many calls may be held at a time (64), and Hold for how long (1 s).
	Held int
	Hold time.Duration
	// Ahead is how many bytes of answers storages may send ahead of the client, all calls together; 64 MiB. A call takes 64 KiB of
	// them; 1 MiB once its client has taken 256 KiB, and at least that, or twice the message, for a message that needs more than half
	// of its window; while all calls together have no more than half.
	Ahead int64
	// PingMinTime is the shortest time between pings, as in gRPC's keepalive.EnforcementPolicy; 10 s.
	PingMinTime time.Duration
	// PingHold delays the answers to pings that come after answers of diverted calls. A client of gRPC sends one with the first bytes
	// after the answer to the last one, to measure the connection: so it sends fewer. It must be short beside a keepalive's timeout.
	PingHold time.Duration
	// SendStall is how long a client may take nothing of a call; 10 min.
	SendStall time.Duration
	// Drain is how long diverted calls may go on after gRPC's server has closed the connection gracefully; 10 s. A second Close
	// ends them at once.
	Drain time.Duration
	// Socket is the socket to which the bytes that are written to the connection go unchanged. Nil says that there is none, as for
	// TLS and yamux: then a goroutine makes all writes of diverted calls.
	Socket syscall.Conn
	// Busy says that the connection is busy most of the time: then that goroutine stays, and its stack need not grow again.
	Busy bool
}
