package proxy

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"praefect/fsm/state"
	"praefect/proxy/storage"
	"praefect/proxy/transaction"
	"praefect/test/gitaly/memory"
	"praefect/test/must"
)

// newMemoryVote has storages that vote, with a repository at each.
func newMemoryVote(t *testing.T) *fixture {
	t.Helper()
	w := newVotingFixture(t, newBackend)
	w.create("a.git")
	if e := w.entry(); e != nil {
		t.Fatalf("entry of a new repository: %+v", e)
	}
	return w
}

func (w *fixture) entry() *state.Entry { return w.node.View().Entry(keyOf("a.git")) }

// has tells which storages have a reference.
func (w *fixture) has(ref string) (names []string) {
	w.t.Helper()
	for _, name := range all {
		conn, err := storage.NewClient("tcp://"+w.storages[name].address, storageToken)
		must.Succeed(w.t, err)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		answer, err := gitalypb.NewRefServiceClient(conn).RefExists(ctx, &gitalypb.RefExistsRequest{
			Repository: &gitalypb.Repository{StorageName: name, RelativePath: "a.git"}, Ref: []byte(ref),
		})
		cancel()
		if err == nil && answer.GetValue() {
			names = append(names, name)
		}
		conn.Close()
	}
	return names
}

// fault has a storage misbehave in its votes.
func (w *fixture) fault(name, vote string) {
	w.t.Helper()
	var faults []memory.Fault
	if vote != "" {
		faults = append(faults, memory.Fault{Vote: vote})
	}
	must.Succeed(w.t, w.storages[name].SetFaults(faults...))
}

var all = []string{"gitaly-1", "gitaly-2", "gitaly-3"}

func TestVote_writeIsOnAllStoragesWhenItIsAnswered(t *testing.T) {
	w := newMemoryVote(t)
	must.Succeed(t, w.writeRef(t.Context(), "a.git", "refs/heads/main", revision))
	if got := w.has("refs/heads/main"); !slices.Equal(got, all) {
		t.Errorf("on %v", got)
	}
	w.closed("a.git")
	if e := w.entry(); e != nil || len(w.repaired()) != 0 {
		t.Errorf("entry %+v, repaired %v", e, w.repaired())
	}
}

// TestVote_whoDoesNotAgreeIsBehind looks at the ledger when the client has its
// answer: what is not equal is known to be.
func TestVote_whoDoesNotAgreeIsBehind(t *testing.T) {
	for _, fault := range []string{"differ", "never", "refuse", "late=1500ms", "differ@committed", "never@committed", "refuse@committed"} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			w := newMemoryVote(t)
			w.server.cfg.VoteTimeout = time.Second // of which "never" would need all
			w.fault("gitaly-3", fault)
			must.Succeed(t, w.writeRef(t.Context(), "a.git", "refs/heads/main", revision))
			if e := w.entry(); e == nil || !slices.Equal(e.Behind, []string{"gitaly-3"}) {
				t.Errorf("entry: %+v", e)
			}
			for _, name := range []string{"gitaly-1", "gitaly-2"} {
				if !slices.Contains(w.has("refs/heads/main"), name) {
					t.Errorf("%s lacks the write", name)
				}
			}
			if !slices.Contains(w.repaired(), keyOf("a.git")) {
				t.Errorf("given to be repaired: %v", w.repaired())
			}
		})
	}
}

func TestVote_refusedWriteLeavesNothing(t *testing.T) {
	for _, fault := range []string{"refuse", "differ"} {
		t.Run(fault, func(t *testing.T) {
			w := newMemoryVote(t)
			w.fault("gitaly-1", fault)
			if err := w.writeRef(t.Context(), "a.git", "refs/heads/main", revision); err == nil {
				t.Error("the write was acknowledged")
			}
			w.closed("a.git")
			if e := w.entry(); e != nil || len(w.repaired()) != 0 || w.has("refs/heads/main") != nil {
				t.Errorf("entry %+v, repaired %v, on %v", e, w.repaired(), w.has("refs/heads/main"))
			}
		})
	}
}

// TestVote_stoppedWriteLeavesNothing has the primary call a write off, and end it
// well, as git does that tells the client itself what a hook refuses.
func TestVote_stoppedWriteLeavesNothing(t *testing.T) {
	w := newMemoryVote(t)
	w.storages["gitaly-1"].setHook(func(ctx context.Context, _ memory.Call) (bool, error) {
		header := metadata.ValueFromIncomingContext(ctx, transaction.Header)
		if header == nil {
			return true, nil
		}
		text, err := base64.StdEncoding.DecodeString(header[0])
		var named struct{ ID uint64 }
		if err = errors.Join(err, json.Unmarshal(text, &named)); err != nil {
			return false, err
		}
		conn, err := w.server.storages.Conn("default", "gitaly-1")
		if err != nil {
			return false, err
		}
		_, err = w.server.votes.Service("gitaly-1", conn).StopTransaction(ctx, &gitalypb.StopTransactionRequest{TransactionId: named.ID})
		return false, err
	})
	if err := w.writeRef(t.Context(), "a.git", "refs/heads/main", revision); err != nil {
		t.Error(err)
	}
	w.closed("a.git")
	if e := w.entry(); e != nil || len(w.repaired()) != 0 || w.has("refs/heads/main") != nil {
		t.Errorf("entry %+v, repaired %v, on %v", e, w.repaired(), w.has("refs/heads/main"))
	}
}

func TestVote_cancelledWriteLeavesNothing(t *testing.T) {
	w := newMemoryVote(t)
	w.fault("gitaly-1", "never")
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, cancel)
	if err := w.writeRef(ctx, "a.git", "refs/heads/main", revision); status.Code(err) != codes.Canceled {
		t.Errorf("got %v", err)
	}
	w.eventually(func() error {
		if writes, intents := w.server.ledger.InFlight(); writes+intents != 0 {
			return status.Errorf(codes.Unknown, "%d writes, %d intents", writes, intents)
		}
		return nil
	})
	if e := w.entry(); e != nil || w.has("refs/heads/main") != nil {
		t.Errorf("entry %+v, on %v", e, w.has("refs/heads/main"))
	}
}

// TestVote_deletionOfAnyValueIsAccountedForFirst has storages make a change of
// which they ask nobody, of a method that votes on others: it must be in the ledger
// when it reaches the only one that gets it (P5).
func TestVote_deletionOfAnyValueIsAccountedForFirst(t *testing.T) {
	w := newMemoryVote(t)
	must.Succeed(t, w.writeRef(t.Context(), "a.git", "refs/heads/gone", revision))
	w.closed("a.git")
	entries := make(chan *state.Entry, len(all))
	for _, name := range all {
		w.storages[name].setHook(func(context.Context, memory.Call) (bool, error) {
			entries <- w.entry()
			return true, nil
		})
	}
	must.Succeed(t, w.writeRef(t.Context(), "a.git", "refs/heads/gone", zeroOID))
	if n := len(entries); n != 1 {
		t.Errorf("reached %d storages, want the primary alone", n)
	}
	if e := <-entries; !e.HasPrimaryOnly() || !slices.Equal(e.Behind, []string{"gitaly-2", "gitaly-3"}) {
		t.Errorf("entry when the write arrived: %+v", e)
	}
	for _, name := range all {
		w.storages[name].setHook(nil)
	}
	if got := w.has("refs/heads/gone"); !slices.Equal(got, []string{"gitaly-2", "gitaly-3"}) {
		t.Errorf("on %v", got)
	}
}

// TestVote_lostPrimaryIsSucceeded loses the primary while it has not voted: the
// client of a unary call does not notice.
func TestVote_lostPrimaryIsSucceeded(t *testing.T) {
	w := newMemoryVote(t)
	var once sync.Once
	w.storages["gitaly-1"].setHook(func(ctx context.Context, _ memory.Call) (bool, error) {
		once.Do(func() {
			go w.storages["gitaly-1"].Kill()
			epoch := func() uint64 { return w.node.View().VirtualStorage("default").Epoch }
			w.node.must(t, state.Command{Fence: &state.Fence{VirtualStorage: "default", Storages: []string{"gitaly-1"}, Why: state.WhyDead, Epoch: epoch()}})
			w.node.must(t, state.Command{Admit: &state.Admit{VirtualStorage: "default", Epoch: epoch(),
				Storages: []state.Admission{{Storage: "gitaly-1", As: state.Out, Why: state.WhyDead}}}})
		})
		<-ctx.Done()
		return false, ctx.Err()
	})
	must.Succeed(t, w.writeRef(t.Context(), "a.git", "refs/heads/main", revision))
	if got := w.has("refs/heads/main"); !slices.Equal(got, []string{"gitaly-2", "gitaly-3"}) {
		t.Errorf("on %v", got)
	}
	if e := w.entry(); e == nil || !slices.Equal(e.Behind, []string{"gitaly-1"}) {
		t.Errorf("entry: %+v", e)
	}
}

// TestVote_clientsHaveNoTransactions sends the header of a transaction as a client.
func TestVote_clientsHaveNoTransactions(t *testing.T) {
	w := newMemoryVote(t)
	ctx := metadata.AppendToOutgoingContext(t.Context(), transaction.Header, "eyJpZCI6MSwibm9kZSI6ImdpdGFseS0xIiwicHJpbWFyeSI6dHJ1ZX0=")
	if err := w.writeRef(ctx, "a.git", "refs/heads/main", revision); err != nil {
		t.Errorf("a write with a transaction of the client's: %v", err)
	}
	_, err := gitalypb.NewRefTransactionClient(w.conn).VoteTransaction(t.Context(), &gitalypb.VoteTransactionRequest{})
	if status.Code(err) != codes.Unimplemented {
		t.Errorf("a client's vote: %v", err)
	}
}

// TestVote_writesThatWaitForEachOther has two writes take their locks in opposite
// order: both end, and one of them well.
func TestVote_writesThatWaitForEachOther(t *testing.T) {
	w := newMemoryVote(t)
	for _, name := range []string{"gitaly-2", "gitaly-3"} {
		var mu sync.Mutex
		arrived := 0
		second := make(chan struct{})
		w.storages[name].setHook(func(ctx context.Context, call memory.Call) (bool, error) {
			if call.Method != gitalypb.RepositoryService_WriteRef_FullMethodName {
				return true, nil
			}
			mu.Lock()
			arrived++
			first := arrived == 1
			if arrived == 2 {
				time.AfterFunc(20*time.Millisecond, func() { close(second) })
			}
			mu.Unlock()
			if first {
				select {
				case <-second:
				case <-ctx.Done():
				}
			}
			return true, nil
		})
	}
	ended := make(chan error, 2)
	write := func() { ended <- w.writeRef(t.Context(), "a.git", "refs/heads/main", revision) }
	began := time.Now()
	go write()
	w.eventually(func() error {
		if len(w.storages["gitaly-2"].asked()) < 2 { // the creation was the first
			return status.Error(codes.Unknown, "the first write has not arrived")
		}
		return nil
	})
	go write()
	failed := 0
	for range 2 {
		if err := <-ended; err != nil {
			failed++
			t.Logf("one of the writes: %v", err)
		}
	}
	if failed > 1 || time.Since(began) > 5*time.Second {
		t.Errorf("%d failed, after %v", failed, time.Since(began))
	}
	if got := w.has("refs/heads/main"); len(got) == 0 {
		t.Error("no storage has it")
	}
	for _, name := range w.has("refs/heads/main") {
		if e := w.entry(); e.IsBehind(name) && name == "gitaly-1" {
			t.Errorf("the primary is behind: %+v", e)
		}
	}
}

// TestVote_tooFewAreTold has a write blocked, whose client learns why.
func TestVote_tooFewAreTold(t *testing.T) {
	w := newMemoryVote(t)
	w.server.cfg.Block = true
	w.fault("gitaly-2", "refuse")
	w.fault("gitaly-3", "refuse")
	err := w.writeRef(t.Context(), "a.git", "refs/heads/main", revision)
	if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "when_short") {
		t.Errorf("got %v", err)
	}
	w.closed("a.git")
	if e := w.entry(); e != nil || w.has("refs/heads/main") != nil {
		t.Errorf("entry %+v, on %v", e, w.has("refs/heads/main"))
	}
}

// TestVote_nothingHappensWithoutAVote has a write end well everywhere that found
// nothing to do, and so asked nobody.
func TestVote_nothingHappensWithoutAVote(t *testing.T) {
	w := newMemoryVote(t)
	nothing := func(context.Context, memory.Call) (bool, error) { return false, nil }
	for _, name := range all {
		w.storages[name].setHook(nothing)
	}
	must.Succeed(t, w.writeRef(t.Context(), "a.git", "refs/heads/main", revision))
	w.closed("a.git")
	if e := w.entry(); e != nil || len(w.repaired()) != 0 {
		t.Errorf("entry %+v, repaired %v", e, w.repaired())
	}
	// Where one storage says otherwise, it is behind.
	w.storages["gitaly-3"].setHook(func(context.Context, memory.Call) (bool, error) { return false, status.Error(codes.Internal, "broken") })
	must.Succeed(t, w.writeRef(t.Context(), "a.git", "refs/heads/main", revision))
	if e := w.entry(); e == nil || !slices.Contains(e.Behind, "gitaly-3") {
		t.Errorf("entry %+v", e)
	}
}
