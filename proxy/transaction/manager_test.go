package transaction

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/fsm/state"
)

var (
	repository = state.Key{VirtualStorage: "default", RelativePath: "a.git"}
	storages   = []string{"gitaly-1", "gitaly-2", "gitaly-3"}
)

// conn stands for a connection.
type conn struct{ storage string }

type fixture struct {
	*testing.T
	*Manager
	conns map[string]*conn
}

func run(t *testing.T, test func(w fixture)) {
	synctest.Test(t, func(t *testing.T) {
		w := fixture{T: t, conns: make(map[string]*conn)}
		w.Manager = NewManager(func() state.Incarnation { return 7 }, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		for _, s := range storages {
			w.conns[s] = &conn{s}
		}
		test(w)
	})
}

func (w fixture) begin(account func([]string) error) *Transaction {
	return w.beginWith(func(cfg *Config) {
		cfg.Account = func(agreeing []string, _ bool) <-chan error {
			allowed := make(chan error, 1)
			go func() { allowed <- account(agreeing) }()
			return allowed
		}
	})
}

// agree accounts for nothing.
func agree([]string, bool) <-chan error {
	allowed := make(chan error, 1)
	allowed <- nil
	return allowed
}

func (w fixture) beginWith(set func(*Config)) *Transaction {
	cfg := Config{Keys: []state.Key{repository}, Copies: 2, Account: agree}
	set(&cfg)
	for _, s := range storages {
		cfg.Voters = append(cfg.Voters, Voter{Storage: s, Conn: w.conns[s]})
	}
	return w.Begin(cfg)
}

type answer struct {
	storage string
	state   gitalypb.VoteTransactionResponse_TransactionState
	err     error
}

// vote votes beside whoever waits, on something that is prepared.
func (w fixture) vote(ctx context.Context, answers chan<- answer, id uint64, storage string, hash byte) {
	w.voteIn(ctx, gitalypb.VoteTransactionRequest_PREPARED_PHASE, answers, id, storage, hash)
}

func (w fixture) voteIn(ctx context.Context, phase gitalypb.VoteTransactionRequest_Phase, answers chan<- answer, id uint64, storage string, hash byte) {
	go func() {
		r, err := w.Service(storage, w.conns[storage]).VoteTransaction(ctx, &gitalypb.VoteTransactionRequest{
			TransactionId: id, Node: storage, ReferenceUpdatesHash: slices.Repeat([]byte{hash}, 20), Phase: phase,
		})
		answers <- answer{storage, r.GetState(), err}
	}()
}

// Two storages of another release vote alike and unlike the primary: that is no majority
// against the primary, they are left out and counted, and the write is short of copies.
func TestManager_votesOfAnotherRelease(t *testing.T) {
	run(t, func(w fixture) {
		var told []string
		cfg := Config{Keys: []state.Key{repository}, Copies: 2}
		cfg.Account = func(agreeing []string, harmless bool) <-chan error {
			told = agreeing
			return agree(agreeing, harmless)
		}
		for _, s := range storages {
			cfg.Voters = append(cfg.Voters, Voter{Storage: s, Conn: w.conns[s], Release: "18.9"})
		}
		cfg.Voters[0].Release = "16.7"
		tx := w.Begin(cfg)
		answers := make(chan answer, 3)
		for i, s := range storages {
			w.vote(w.Context(), answers, tx.id, s, byte(min(i, 1)))
		}
		for range storages {
			got, want := <-answers, gitalypb.VoteTransactionResponse_ABORT
			if got.storage == storages[0] {
				want = gitalypb.VoteTransactionResponse_COMMIT
			}
			if got.err != nil || got.state != want {
				t.Errorf("%s: got %v, %v; want %v", got.storage, got.state, got.err, want)
			}
		}
		result := tx.End()
		tx.Forget()
		if !slices.Equal(told, storages[:1]) || !slices.Equal(result.Agreed, storages[:1]) || !slices.Equal(result.Unlike, storages[1:]) || result.PrimaryFailed {
			t.Errorf("told %v, got %+v", told, result)
		}
		if got := testutil.ToFloat64(w.metrics.unlike); got != 2 {
			t.Errorf("%v votes were counted as unlike, want 2", got)
		}
	})
}

func TestManager_voteOfAll(t *testing.T) {
	run(t, func(w fixture) {
		var told []string
		tx := w.begin(func(agreeing []string) error { told = agreeing; return nil })
		answers := make(chan answer, 3)
		for _, s := range storages {
			w.vote(w.Context(), answers, tx.id, s, 1)
		}
		for range storages {
			if a := <-answers; a.err != nil || a.state != gitalypb.VoteTransactionResponse_COMMIT {
				w.Errorf("%+v", a)
			}
		}
		if !slices.Equal(told, storages) || !slices.Equal(tx.End().Agreed, storages) {
			w.Errorf("told %v", told)
		}
		if got := tx.Metadata("gitaly-2"); got != "eyJpZCI6MzAwNjQ3NzEwNzMsIm5vZGUiOiJnaXRhbHktMiIsInByaW1hcnkiOmZhbHNlfQ==" {
			w.Errorf("metadata: %s", got)
		}
	})
}

func TestManager_ledgerSaysNo(t *testing.T) {
	run(t, func(w fixture) {
		tx := w.begin(func([]string) error { return errors.New("fenced") })
		answers := make(chan answer, 3)
		for _, s := range storages {
			w.vote(w.Context(), answers, tx.id, s, 1)
		}
		for range storages {
			if a := <-answers; a.err != nil || a.state != gitalypb.VoteTransactionResponse_ABORT {
				w.Errorf("%+v", a)
			}
		}
		if agreed := tx.End().Agreed; agreed != nil {
			w.Errorf("agreed: %v", agreed)
		}
	})
}

// A storage that lives is waited for. Where that was in vain the next writes wait for it
// no longer than the grace, for a while; for a silent one none waits longer.
func TestManager_lateStorage(t *testing.T) {
	run(t, func(w fixture) {
		var silent atomic.Bool
		vote := func(want time.Duration, what string) {
			w.Helper()
			tx := w.beginWith(func(cfg *Config) { cfg.Lively = func(name string) bool { return name != "gitaly-2" || !silent.Load() } })
			defer tx.End()
			answers := make(chan answer, 2)
			w.vote(w.Context(), answers, tx.id, "gitaly-1", 1)
			w.vote(w.Context(), answers, tx.id, "gitaly-3", 1)
			start := time.Now()
			<-answers
			<-answers
			if waited := time.Since(start); waited != want {
				w.Errorf("%s: waited for %v, want %v", what, waited, want)
			}
		}
		go func() {
			time.Sleep(1400 * time.Millisecond)
			silent.Store(true)
		}()
		vote(1500*time.Millisecond, "it falls silent")
		silent.Store(false)
		vote(12*time.Second, "it is heard")
		vote(time.Second, "it has been late")
		time.Sleep(27 * time.Second)
		vote(time.Second, "it has been late lately")
		time.Sleep(2 * time.Second)
		vote(12*time.Second, "it was late long ago")
	})
}

func TestManager_votesOfALateStorage(t *testing.T) {
	run(t, func(w fixture) {
		tx := w.begin(func([]string) error { return nil })
		answers := make(chan answer, 3)
		w.vote(w.Context(), answers, tx.id, "gitaly-1", 1)
		w.vote(w.Context(), answers, tx.id, "gitaly-3", 1)
		start := time.Now()
		<-answers
		<-answers
		if waited := time.Since(start); waited != 12*time.Second {
			w.Errorf("waited for %v", waited)
		}
		w.vote(w.Context(), answers, tx.id, "gitaly-2", 1)
		if a := <-answers; a.state != gitalypb.VoteTransactionResponse_ABORT {
			w.Errorf("%+v", a)
		}
		if agreed := tx.End().Agreed; !slices.Equal(agreed, []string{"gitaly-1", "gitaly-3"}) {
			w.Errorf("agreed: %v", agreed)
		}
	})
}

func TestManager_storageThatGivesUp(t *testing.T) {
	run(t, func(w fixture) {
		tx := w.begin(func([]string) error { return nil })
		answers := make(chan answer, 3)
		ctx, cancel := context.WithCancel(w.Context())
		w.vote(ctx, answers, tx.id, "gitaly-2", 1)
		synctest.Wait()
		cancel()
		if a := <-answers; status.Code(a.err) != codes.Canceled {
			w.Errorf("%+v", a)
		}
		w.vote(w.Context(), answers, tx.id, "gitaly-1", 1)
		w.vote(w.Context(), answers, tx.id, "gitaly-3", 1)
		<-answers
		<-answers
		if agreed := tx.End().Agreed; !slices.Equal(agreed, []string{"gitaly-1", "gitaly-3"}) {
			w.Errorf("agreed: %v", agreed)
		}
	})
}

// The vote that completes a round has the account made. If its storage gives up meanwhile, that is
// noticed before the account is there, so that a vote that the primary takes back does not count.
func TestManager_primaryGivesUpBeforeTheAccount(t *testing.T) {
	run(t, func(w fixture) {
		asked, made := make(chan struct{}), make(chan struct{})
		tx := w.begin(func([]string) error {
			close(asked)
			<-made
			return nil
		})
		ctx, cancel := context.WithCancel(w.Context())
		answers := make(chan answer, 3)
		w.vote(w.Context(), answers, tx.id, "gitaly-2", 1)
		w.vote(w.Context(), answers, tx.id, "gitaly-3", 1)
		synctest.Wait()
		w.vote(ctx, answers, tx.id, "gitaly-1", 1)
		<-asked
		cancel()
		synctest.Wait()
		close(made)
		for range storages {
			if a := <-answers; a.err == nil && a.state != gitalypb.VoteTransactionResponse_ABORT {
				w.Errorf("%+v", a)
			}
		}
		if committed := tx.End().Committed; committed != nil {
			w.Errorf("committed: %v", committed)
		}
	})
}

func TestManager_endAnswersWhoWaits(t *testing.T) {
	run(t, func(w fixture) {
		release := make(chan struct{})
		tx := w.begin(func([]string) error { <-release; return nil })
		answers := make(chan answer, 3)
		for _, s := range storages {
			w.vote(w.Context(), answers, tx.id, s, 1)
		}
		synctest.Wait()
		if agreed := tx.End().Agreed; agreed != nil {
			w.Errorf("agreed: %v", agreed)
		}
		close(release) // too late
		w.Wait()
		for range storages {
			if a := <-answers; a.err != nil || a.state != gitalypb.VoteTransactionResponse_ABORT {
				w.Errorf("%+v", a)
			}
		}
		// A storage whose RPC goes on has locks, and gives them up.
		w.vote(w.Context(), answers, tx.id, "gitaly-1", 1)
		if a := <-answers; a.err != nil || a.state != gitalypb.VoteTransactionResponse_ABORT {
			w.Errorf("%+v", a)
		}
		tx.Forget()
		w.vote(w.Context(), answers, tx.id, "gitaly-1", 1)
		if a := <-answers; status.Code(a.err) != codes.NotFound {
			w.Errorf("%+v", a)
		}
	})
}

func TestService_refuses(t *testing.T) {
	run(t, func(w fixture) {
		tx := w.begin(nil)
		defer tx.End()
		hash := make([]byte, 20)
		for _, tc := range []struct {
			name    string
			service *Service
			request *gitalypb.VoteTransactionRequest
			want    codes.Code
		}{
			{"no such transaction", w.Service("gitaly-1", w.conns["gitaly-1"]), &gitalypb.VoteTransactionRequest{TransactionId: 1, Node: "gitaly-1", ReferenceUpdatesHash: hash}, codes.NotFound},
			{"in the name of another", w.Service("gitaly-1", w.conns["gitaly-1"]), &gitalypb.VoteTransactionRequest{TransactionId: tx.id, Node: "gitaly-2", ReferenceUpdatesHash: hash}, codes.PermissionDenied},
			{"over another connection", w.Service("gitaly-1", &conn{"gitaly-1"}), &gitalypb.VoteTransactionRequest{TransactionId: tx.id, Node: "gitaly-1", ReferenceUpdatesHash: hash}, codes.PermissionDenied},
			{"of a stranger", w.Service("gitaly-9", &conn{"gitaly-9"}), &gitalypb.VoteTransactionRequest{TransactionId: tx.id, Node: "gitaly-9", ReferenceUpdatesHash: hash}, codes.PermissionDenied},
			{"a short hash", w.Service("gitaly-1", w.conns["gitaly-1"]), &gitalypb.VoteTransactionRequest{TransactionId: tx.id, Node: "gitaly-1", ReferenceUpdatesHash: hash[1:]}, codes.InvalidArgument},
			{"a long hash", w.Service("gitaly-1", w.conns["gitaly-1"]), &gitalypb.VoteTransactionRequest{TransactionId: tx.id, Node: "gitaly-1", ReferenceUpdatesHash: append(hash, 0)}, codes.InvalidArgument},
		} {
			if _, err := tc.service.VoteTransaction(w.Context(), tc.request); status.Code(err) != tc.want {
				w.Errorf("%s: got %v, want %v", tc.name, err, tc.want)
			}
		}
	})
}

func TestService_stopOfThePrimary(t *testing.T) {
	run(t, func(w fixture) {
		tx := w.begin(nil)
		defer func() {
			if r := tx.End(); !r.Stopped || r.Committed != nil {
				w.Errorf("result: %+v", r)
			}
		}()
		answers := make(chan answer, 1)
		w.vote(w.Context(), answers, tx.id, "gitaly-2", 1)
		synctest.Wait()
		if _, err := w.Service("gitaly-1", w.conns["gitaly-1"]).StopTransaction(w.Context(), &gitalypb.StopTransactionRequest{TransactionId: tx.id}); err != nil {
			w.Error(err)
		}
		if a := <-answers; a.err != nil || a.state != gitalypb.VoteTransactionResponse_STOP {
			w.Errorf("%+v", a)
		}
	})
}

func TestManager_twoWritesThatWaitForEachOther(t *testing.T) {
	run(t, func(w fixture) {
		older, younger := w.begin(func([]string) error { return nil }), w.begin(func([]string) error { return nil })
		of := map[uint64]chan answer{older.id: make(chan answer, 3), younger.id: make(chan answer, 3)}
		start := time.Now()
		w.vote(w.Context(), of[younger.id], younger.id, "gitaly-2", 2)
		w.vote(w.Context(), of[older.id], older.id, "gitaly-1", 1)
		w.vote(w.Context(), of[older.id], older.id, "gitaly-3", 1)
		if a := <-of[younger.id]; a.state != gitalypb.VoteTransactionResponse_ABORT || time.Since(start) != 500*time.Millisecond {
			w.Errorf("%+v after %v", a, time.Since(start))
		}
		// What it had locked is free now.
		w.vote(w.Context(), of[older.id], older.id, "gitaly-2", 1)
		for range storages {
			if a := <-of[older.id]; a.state != gitalypb.VoteTransactionResponse_COMMIT {
				w.Errorf("%+v", a)
			}
		}
		older.End()
		younger.End()
	})
}

// TestManager_slowWritesDoNotContend has two writes whose votes come slowly, in
// opposite order: nobody is in the way of the other.
func TestManager_slowWritesDoNotContend(t *testing.T) {
	run(t, func(w fixture) {
		a, b := w.begin(func([]string) error { return nil }), w.begin(func([]string) error { return nil })
		answers := make(chan answer, 6)
		for i, name := range storages {
			w.vote(w.Context(), answers, a.id, name, 1)
			w.vote(w.Context(), answers, b.id, storages[2-i], 2)
			time.Sleep(300 * time.Millisecond)
		}
		for range 6 {
			if a := <-answers; a.state != gitalypb.VoteTransactionResponse_COMMIT {
				w.Errorf("%+v", a)
			}
		}
		a.End()
		b.End()
	})
}

// TestManager_onlyLocksContend has two writes wait for the votes of storages that
// are late, in opposite order, until the grace leaves those behind: only with a
// vote that is cast while references are locked may one be in the way of the other.
func TestManager_onlyLocksContend(t *testing.T) {
	for phase, contend := range map[gitalypb.VoteTransactionRequest_Phase]bool{
		gitalypb.VoteTransactionRequest_UNKNOWN_PHASE:      true,
		gitalypb.VoteTransactionRequest_PREPARED_PHASE:     true,
		gitalypb.VoteTransactionRequest_COMMITTED_PHASE:    false,
		gitalypb.VoteTransactionRequest_SYNCHRONIZED_PHASE: false,
	} {
		run(t, func(w fixture) {
			older, younger := w.begin(func([]string) error { return nil }), w.begin(func([]string) error { return nil })
			answers := make(chan answer, 6)
			w.voteIn(w.Context(), phase, answers, older.id, "gitaly-1", 1)
			w.voteIn(w.Context(), phase, answers, younger.id, "gitaly-2", 2)
			w.voteIn(w.Context(), phase, answers, younger.id, "gitaly-3", 2)
			time.Sleep(900 * time.Millisecond)
			if aborted := len(answers) > 0; aborted != contend {
				w.Errorf("%v: one was aborted: %v, want %v", phase, aborted, contend)
			}
			older.End()
			younger.End()
		})
	}
}
