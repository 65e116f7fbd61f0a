package proxy

import (
	"net"
	"time"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"praefect/proxy/frames"
	"praefect/proxy/storage"
	"praefect/proxy/transaction"
)

const (
	// maxVotes is how many votes a storage may wait with at once, each of them for a
	// write that is under way.
	maxVotes = 4096
	// maxVote bounds a vote, which is a few hundred bytes.
	maxVote = 64 << 10
	// voteWorkers is how many goroutines of a connection wait for votes. Their stacks have grown
	// already; a vote that finds none of them free gets its own.
	voteWorkers = 32
	// voteWindow bounds the votes that a connection may send ahead. Because it is fixed, the library
	// does not measure the connection with a ping for every other vote.
	voteWindow = 1 << 20
	// votePings is the shortest time between pings: the default of gRPC's servers.
	votePings = 5 * time.Minute
	// voteMeasure is how often a storage may measure the connection with a ping, which is half of what it
	// sends otherwise. Nothing depends on the result: the windows of votes are never full.
	voteMeasure = 500 * time.Millisecond
)

// VoteServer makes the server for the calls of a storage to us over its connection: its votes, to
// be counted. asFrames has votes answered below gRPC's server: no goroutine waits there with a vote.
func VoteServer(votes *transaction.Manager, asFrames bool) func(*storage.Conn) *grpc.Server {
	return func(conn *storage.Conn) *grpc.Server {
		return newVoteServer(votes.Service(conn.Target().Storage, conn), asFrames)
	}
}

func newVoteServer(service *transaction.Service, asFrames bool, more ...grpc.ServerOption) *grpc.Server {
	options := append(more,
		grpc.MaxConcurrentStreams(maxVotes), grpc.MaxRecvMsgSize(maxVote), grpc.MaxHeaderListSize(maxVote),
		grpc.NumStreamWorkers(voteWorkers), grpc.InitialWindowSize(maxVote), grpc.InitialConnWindowSize(voteWindow))
	if asFrames {
		options = append(options, grpc.Creds(ballotBox{insecure.NewCredentials(), service}))
	}
	server := grpc.NewServer(options...)
	gitalypb.RegisterRefTransactionServer(server, service)
	return server
}

// ballotBox are credentials of a server that put a front for votes before it.
type ballotBox struct {
	credentials.TransportCredentials
	service *transaction.Service
}

// Clone implements credentials.TransportCredentials.
func (b ballotBox) Clone() credentials.TransportCredentials {
	return ballotBox{b.TransportCredentials.Clone(), b.service}
}

// ServerHandshake implements credentials.TransportCredentials.
func (b ballotBox) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := b.TransportCredentials.ServerHandshake(raw)
	if err != nil {
		return nil, nil, err
	}
	return frames.NewFront(conn, b, frames.Config{PingMinTime: votePings, PingHold: voteMeasure, Busy: true}), info, nil
}

// May implements frames.Policy. The value is the deadline.
func (b ballotBox) May(_ net.Conn, fields []hpack.HeaderField) (any, bool) {
	h, ok := readHead(fields)
	if !ok || h.method != gitalypb.RefTransaction_VoteTransaction_FullMethodName {
		return nil, false
	}
	var deadline time.Time
	if h.timeout > 0 {
		deadline = time.Now().Add(h.timeout)
	}
	return deadline, true
}

// Divert implements frames.Policy. A message that is no vote is gRPC's.
func (b ballotBox) Divert(deadline any, message []byte) *frames.Diversion {
	var r gitalypb.VoteTransactionRequest
	if err := proto.Unmarshal(message, &r); err != nil {
		return nil
	}
	vote, err := b.service.Vote(&r)
	if err != nil {
		return &frames.Diversion{
			Serve: func(answer frames.Answer) { answer(status.Code(err), status.Convert(err).Message(), nil) },
			Ended: func(frames.Result) {},
		}
	}
	return &frames.Diversion{
		Deadline: deadline.(time.Time),
		Serve: func(answer frames.Answer) {
			vote.Cast(func(a transaction.Answer) {
				if a.Err != nil {
					answer(status.Code(a.Err), status.Convert(a.Err).Message(), nil)
					return
				}
				answer(codes.OK, "", decisions[a.State])
			})
		},
		Ended: func(r frames.Result) {
			if r.ClientGone || r.Code == codes.DeadlineExceeded {
				vote.Withdraw()
			}
		},
	}
}

// Passed implements frames.Policy.
func (ballotBox) Passed(any, frames.Why) {}

// Dropped implements frames.Policy.
func (ballotBox) Dropped(any, time.Time) {}

// decisions are the messages of the answers to votes.
var decisions = func() map[gitalypb.VoteTransactionResponse_TransactionState][]byte {
	all := make(map[gitalypb.VoteTransactionResponse_TransactionState][]byte)
	for state := range gitalypb.VoteTransactionResponse_TransactionState_name {
		s := gitalypb.VoteTransactionResponse_TransactionState(state)
		message, err := proto.Marshal(&gitalypb.VoteTransactionResponse{State: s})
		if err != nil {
			panic(err) // there is nothing in it that could not be encoded
		}
		all[s] = message
	}
	return all
}()
