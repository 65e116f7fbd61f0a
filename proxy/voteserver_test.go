package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"

	"praefect/fsm/state"
	"praefect/proxy/storage"
	"praefect/proxy/transaction"
	"praefect/test/must"
)

// TestVotes_otherWay runs tests of writes that vote again, with votes that gRPC's server takes if they
// are answered below it by default.
func TestVotes_otherWay(t *testing.T) {
	forwardsFrames(t, !framesOn)
	for name, test := range map[string]func(*testing.T){
		"all":               TestVote_writeIsOnAllStoragesWhenItIsAnswered,
		"some":              TestVote_whoDoesNotAgreeIsBehind,
		"refused":           TestVote_refusedWriteLeavesNothing,
		"stopped":           TestVote_stoppedWriteLeavesNothing,
		"cancelled":         TestVote_cancelledWriteLeavesNothing,
		"deletion":          TestVote_deletionOfAnyValueIsAccountedForFirst,
		"primary lost":      TestVote_lostPrimaryIsSucceeded,
		"living storage":    TestVote_branchOfALivingStorageIsNotCancelled,
		"wait for another":  TestVote_writesThatWaitForEachOther,
		"too few":           TestVote_tooFewAreTold,
		"nothing":           TestVote_nothingHappensWithoutAVote,
		"two releases":      TestVote_storagesOfTwoReleases,
		"locks of git":      TestVote_waitsForLocksOfGit,
		"lock of a primary": TestVote_lockOfThePrimary,
	} {
		t.Run(name, test)
	}
}

// begun counts the calls that a gRPC server begins.
type begun struct{ calls atomic.Int64 }

func (*begun) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }
func (b *begun) HandleRPC(_ context.Context, s stats.RPCStats) {
	if _, ok := s.(*stats.Begin); ok {
		b.calls.Add(1)
	}
}
func (*begun) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (*begun) HandleConn(context.Context, stats.ConnStats)                       {}

// ballots is a server for the votes of a storage, which is the only voter of its transactions.
type ballots struct {
	*testing.T
	manager  *transaction.Manager
	registry *prometheus.Registry
	storage  *storage.Conn
	conn     *grpc.ClientConn
	begun    begun
	tx       *transaction.Transaction
	asked    chan struct{} // closed when the account is asked for
	allow    chan error
}

// newBallots has a transaction with the server, whose votes are allowed by the answer that is sent to
// allow.
func newBallots(t *testing.T, asFrames bool) *ballots {
	b := &ballots{T: t, registry: prometheus.NewRegistry(), storage: new(storage.Conn), asked: make(chan struct{}), allow: make(chan error, 1)}
	b.manager = transaction.NewManager(func() state.Incarnation { return 1 }, slog.New(slog.DiscardHandler), b.registry)
	server := newVoteServer(b.manager.Service("", b.storage), asFrames, grpc.StatsHandler(&b.begun))
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	must.Succeed(t, err)
	served := make(chan error, 1)
	go func() { served <- server.Serve(lis) }()
	b.conn, err = grpc.NewClient("passthrough:///"+lis.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	must.Succeed(t, err)
	t.Cleanup(func() {
		_ = b.conn.Close() // a test may have closed it
		server.Stop()
		must.Succeed(t, <-served)
	})
	b.tx = b.begin(b.storage)
	return b
}

// begin begins a transaction, the first one with the id 1<<32 + 1.
func (b *ballots) begin(over *storage.Conn) *transaction.Transaction {
	return b.manager.Begin(transaction.Config{
		Keys: []state.Key{keyOf("a.git")}, Voters: []transaction.Voter{{Conn: over}}, Copies: 1,
		Account: func([]string, bool) <-chan error {
			close(b.asked)
			return b.allow
		},
	})
}

func ballot(change func(*gitalypb.VoteTransactionRequest)) *gitalypb.VoteTransactionRequest {
	r := &gitalypb.VoteTransactionRequest{
		TransactionId: 1<<32 + 1, ReferenceUpdatesHash: slices.Repeat([]byte{1}, 20), Phase: gitalypb.VoteTransactionRequest_PREPARED_PHASE,
	}
	if change != nil {
		change(r)
	}
	return r
}

// cast casts a vote, and says how it was answered.
func (b *ballots) cast(ctx context.Context, r *gitalypb.VoteTransactionRequest, opts ...grpc.CallOption) string {
	answer, err := gitalypb.NewRefTransactionClient(b.conn).VoteTransaction(ctx, r, opts...)
	if err != nil {
		return err.Error()
	}
	return answer.GetState().String()
}

// beside casts a vote, and goes on when it waits for the account.
func (b *ballots) beside(ctx context.Context) <-chan string {
	answer := make(chan string, 1)
	go func() { answer <- b.cast(ctx, ballot(nil)) }()
	<-b.asked
	return answer
}

// withdrawn waits until a vote was taken back.
func (b *ballots) withdrawn() {
	deadline := time.Now().Add(30 * time.Second)
	for tick := time.NewTicker(time.Millisecond); b.counts()["gitaly_praefect_transactions_total failed"] == 0; <-tick.C {
		if time.Now().After(deadline) {
			b.Fatal("the vote was not taken back")
		}
	}
}

// counts are the counters of the votes.
func (b *ballots) counts() map[string]float64 {
	families, err := b.registry.Gather()
	must.Succeed(b, err)
	counts := make(map[string]float64)
	for _, family := range families {
		for _, one := range family.GetMetric() {
			name := family.GetName()
			for _, label := range one.GetLabel() {
				name += " " + label.GetValue()
			}
			counts[name] = one.GetCounter().GetValue() + float64(one.GetHistogram().GetSampleCount())
		}
	}
	return counts
}

// rawBytes is a codec of messages in bytes.
type rawBytes struct{ name string }

func (rawBytes) Marshal(v any) ([]byte, error)   { return v.([]byte), nil }
func (rawBytes) Unmarshal(_ []byte, _ any) error { return nil }
func (r rawBytes) Name() string                  { return r.name }

// TestVotes_bothWays compares the answers to the votes of a storage, and the metrics, with and without
// votes answered below gRPC's server. streams is how many of the calls are gRPC's in any case.
func TestVotes_bothWays(t *testing.T) {
	const method = gitalypb.RefTransaction_VoteTransaction_FullMethodName
	for name, tc := range map[string]struct {
		streams int64
		do      func(b *ballots) (answers []string)
	}{
		"allowed": {0, func(b *ballots) []string {
			answer := b.beside(b.Context())
			b.allow <- nil
			return []string{<-answer}
		}},
		"allowed at once": {0, func(b *ballots) []string {
			b.allow <- nil
			return []string{b.cast(b.Context(), ballot(nil))}
		}},
		"not accounted for": {0, func(b *ballots) []string {
			b.allow <- errors.New("fenced")
			return []string{b.cast(b.Context(), ballot(nil)), b.cast(b.Context(), ballot(nil))}
		}},
		"twice at once": {0, func(b *ballots) []string {
			answer := b.beside(b.Context())
			twice := b.cast(b.Context(), ballot(nil))
			b.allow <- nil
			return []string{twice, <-answer}
		}},
		"deadline": {0, func(b *ballots) []string {
			ctx, cancel := context.WithTimeout(b.Context(), 50*time.Millisecond)
			defer cancel()
			answer := <-b.beside(ctx)
			b.withdrawn()
			b.allow <- nil
			return []string{answer, b.cast(b.Context(), ballot(nil))}
		}},
		"given up": {0, func(b *ballots) []string {
			ctx, cancel := context.WithCancel(b.Context())
			answer := b.beside(ctx)
			cancel()
			b.withdrawn()
			b.allow <- nil
			return []string{<-answer, b.cast(b.Context(), ballot(nil))}
		}},
		"hung up": {0, func(b *ballots) []string {
			answer := b.beside(b.Context())
			must.Succeed(b, b.conn.Close())
			b.withdrawn()
			b.allow <- nil
			return []string{status.Code(errors.New(<-answer)).String()}
		}},
		"ended": {0, func(b *ballots) []string {
			answer := b.beside(b.Context())
			b.tx.End()
			b.allow <- nil
			return []string{<-answer, b.cast(b.Context(), ballot(nil))}
		}},
		"forgotten": {0, func(b *ballots) []string {
			b.tx.Forget()
			return []string{b.cast(b.Context(), ballot(nil))}
		}},
		"stopped": {1, func(b *ballots) []string {
			answer := b.beside(b.Context())
			_, err := gitalypb.NewRefTransactionClient(b.conn).StopTransaction(b.Context(), &gitalypb.StopTransactionRequest{TransactionId: 1<<32 + 1})
			b.allow <- nil
			return []string{fmt.Sprint(err), <-answer}
		}},
		"refused": {0, func(b *ballots) []string {
			b.begin(new(storage.Conn)) // with the next id
			return []string{
				b.cast(b.Context(), ballot(func(r *gitalypb.VoteTransactionRequest) { r.TransactionId = 7 })),
				b.cast(b.Context(), ballot(func(r *gitalypb.VoteTransactionRequest) { r.TransactionId++ })),
				b.cast(b.Context(), ballot(func(r *gitalypb.VoteTransactionRequest) { r.Node = "ü %" })),
				b.cast(b.Context(), ballot(func(r *gitalypb.VoteTransactionRequest) { r.ReferenceUpdatesHash = r.ReferenceUpdatesHash[1:] })),
			}
		}},
		"no vote": {3, func(b *ballots) []string {
			var none gitalypb.VoteTransactionResponse
			return []string{
				fmt.Sprint(b.conn.Invoke(b.Context(), method, []byte{0xff}, &none, grpc.ForceCodec(rawBytes{"proto"}))),
				b.cast(b.Context(), ballot(func(r *gitalypb.VoteTransactionRequest) { r.ReferenceUpdatesHash = make([]byte, maxVote) })),
				fmt.Sprint(b.conn.Invoke(b.Context(), method, []byte(nil), &none, grpc.ForceCodec(rawBytes{"nonsense"}))),
				fmt.Sprint(b.conn.Invoke(b.Context(), method+"s", ballot(nil), &none)),
			}
		}},
		"not plain": {1, func(b *ballots) []string {
			b.allow <- nil
			return []string{b.cast(metadata.AppendToOutgoingContext(b.Context(), "trace-bin", "\x00\xff"), ballot(nil))}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			var answers [2][]string
			var counts [2]map[string]float64
			for i, asFrames := range []bool{false, true} {
				b := newBallots(t, asFrames)
				answers[i] = tc.do(b)
				b.tx.End()
				b.manager.Wait()
				counts[i] = b.counts()
				if n := b.begun.calls.Load(); asFrames && n != tc.streams {
					t.Errorf("%d calls were gRPC's, want %d", n, tc.streams)
				}
			}
			if diff := cmp.Diff(answers[0], answers[1]); diff != "" {
				t.Errorf("answers (-gRPC +frames):\n%s", diff)
			}
			if diff := cmp.Diff(counts[0], counts[1]); diff != "" {
				t.Errorf("counters (-gRPC +frames):\n%s", diff)
			}
		})
	}
}
