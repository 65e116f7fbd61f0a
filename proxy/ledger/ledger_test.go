package ledger

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"praefect/fsm/state"
)

var (
	repository = state.Key{VirtualStorage: "default", RelativePath: "a.git"}
	other      = state.Key{VirtualStorage: "default", RelativePath: "b.git"}
	config     = Config{Linger: 3 * time.Second, HoldTimeout: 10 * time.Second, HoldLimit: 2}
)

func account() Account {
	return Account{Scope: state.Scope{BoundMillis: 8000, RefsOnly: true, Targets: []string{"gitaly-1"}}, Primary: "gitaly-1", Epoch: 1}
}

// run gives the test a ledger whose Run is going on inside a bubble.
func run(t *testing.T, test func(t *testing.T, n *node, l *Ledger)) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t)
		l := New(n, config)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- l.Run(ctx) }()
		test(t, n, l)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
}

func begin(t *testing.T, l *Ledger, keys ...state.Key) *Write {
	t.Helper()
	w, err := l.Begin(t.Context(), keys)
	if err != nil {
		t.Fatalf("begin: %v", err)
	}
	return w
}

func prepare(t *testing.T, w *Write, a Account) bool {
	t.Helper()
	changed, err := w.Prepare(t.Context(), a)
	if err != nil {
		t.Fatalf("prepare: %v", err)
	}
	return changed
}

func TestWrite_isInTheLedgerBeforeItIsForwarded(t *testing.T) {
	run(t, func(t *testing.T, n *node, l *Ledger) {
		w := begin(t, l, repository)
		if !prepare(t, w, account()) {
			t.Error("the first write says that nothing changed")
		}
		entry := n.View().Entry(repository)
		if !entry.HasSolo() || !slices.Equal(entry.Behind, []string{"gitaly-2", "gitaly-3"}) {
			t.Errorf("entry before the forward: %+v", entry)
		}
		w.End(true)
	})
}

func TestWrite_secondOnBusyRepositoryCommitsNothing(t *testing.T) {
	run(t, func(t *testing.T, n *node, l *Ledger) {
		w := begin(t, l, repository)
		prepare(t, w, account())
		w.End(true)
		before := n.proposed()
		time.Sleep(config.Linger - time.Millisecond)
		w = begin(t, l, repository)
		if prepare(t, w, account()) {
			t.Error("the second write says that the ledger changed")
		}
		if got := n.proposed(); got != before {
			t.Errorf("the second write proposed %d commands", got-before)
		}
		w.End(true)
	})
}

func TestWrite_widensMarkForLongerBound(t *testing.T) {
	run(t, func(t *testing.T, n *node, l *Ledger) {
		w := begin(t, l, repository)
		defer w.End(true)
		prepare(t, w, account())
		longer := account()
		longer.Scope.BoundMillis = 16000
		longer.Scope.RefsOnly = false
		prepare(t, w, longer)
		mark := n.View().Entry(repository).Live(n.inc)
		if mark.BoundMillis != 16000 || mark.RefsOnly {
			t.Errorf("mark was not widened: %+v", mark)
		}
	})
}

func TestLedger_closesMarkAfterLinger(t *testing.T) {
	run(t, func(t *testing.T, n *node, l *Ledger) {
		w := begin(t, l, repository)
		prepare(t, w, account())
		w.End(true)
		time.Sleep(config.Linger + time.Millisecond)
		synctest.Wait()
		if entry := n.View().Entry(repository); entry.HasLive() || entry.HasDirty() || len(entry.Behind) != 2 {
			t.Errorf("entry after the linger: %+v", entry)
		}
		if writes, marks := l.InFlight(); writes != 0 || marks != 0 {
			t.Errorf("in flight: %d writes, %d marks", writes, marks)
		}
	})
}

func TestLedger_closesDirtyAtOnceWhenRPCDidNotEnd(t *testing.T) {
	run(t, func(t *testing.T, n *node, l *Ledger) {
		first, second := begin(t, l, repository), begin(t, l, repository)
		prepare(t, first, account())
		prepare(t, second, account())
		first.End(false)
		synctest.Wait()
		if !n.View().Entry(repository).HasLive() {
			t.Fatal("the mark closed while a write was in flight")
		}
		second.End(true)
		synctest.Wait()
		entry := n.View().Entry(repository)
		if entry.HasLive() || !entry.HasDirty() {
			t.Errorf("entry: %+v", entry)
		}
	})
}

func TestLedger_neverForwardedWriteLeavesNoDirt(t *testing.T) {
	run(t, func(t *testing.T, n *node, l *Ledger) {
		w := begin(t, l, repository)
		w.End(true)
		if n.View().Entry(repository) != nil || n.proposed() != 0 {
			t.Error("a write that was never forwarded left something")
		}
	})
}

func TestWrite_twoRepositoriesInOneCommand(t *testing.T) {
	run(t, func(t *testing.T, n *node, l *Ledger) {
		w := begin(t, l, other, repository)
		prepare(t, w, account())
		if len(n.batches) != 1 || len(n.batches[0]) != 2 || len(n.batches[0][0].Open.Paths) != 2 || len(n.batches[0][1].Wrote.Paths) != 2 {
			t.Errorf("batches: %+v", n.batches)
		}
		w.End(true)
	})
}

func TestWrite_waitsForCloseThatWasProposed(t *testing.T) {
	run(t, func(t *testing.T, n *node, l *Ledger) {
		w := begin(t, l, repository)
		prepare(t, w, account())
		w.End(true)
		release := make(chan struct{})
		n.setCallback(func(cmds []state.Command) (bool, error) {
			if cmds[0].Close != nil {
				<-release
			}
			return true, nil
		})
		time.Sleep(config.Linger + time.Millisecond)
		synctest.Wait() // the close is on its way

		w = begin(t, l, repository)
		prepared := make(chan error, 1)
		go func() {
			_, err := w.Prepare(t.Context(), account())
			prepared <- err
		}()
		synctest.Wait()
		if len(prepared) != 0 {
			t.Fatal("the write overtook the close")
		}
		close(release)
		if err := <-prepared; err != nil {
			t.Fatal(err)
		}
		if !n.View().Entry(repository).HasSolo() {
			t.Error("the close undid the newer mark")
		}
		w.End(true)
	})
}

func TestWrite_refusedAccountIsARefusal(t *testing.T) {
	run(t, func(t *testing.T, n *node, l *Ledger) {
		w := begin(t, l, repository)
		wrong := account()
		wrong.Primary = "gitaly-2"
		_, err := w.Prepare(t.Context(), wrong)
		var refusal *state.Refusal
		if !errors.As(err, &refusal) || refusal.Reason != state.RefusedNotPrimary {
			t.Errorf("got %v, want a refusal", err)
		}
		prepare(t, w, account())
		w.End(true)
	})
}

func TestWrite_unknownOutcomeEndsDirty(t *testing.T) {
	for name, applied := range map[string]bool{"applied": true, "not applied": false} {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T, n *node, l *Ledger) {
				lost := errors.New("leadership lost")
				n.setCallback(func([]state.Command) (bool, error) { return applied, lost })
				w := begin(t, l, repository)
				if _, err := w.Prepare(t.Context(), account()); !errors.Is(err, lost) {
					t.Fatalf("got %v", err)
				}
				n.setCallback(nil)
				w.End(true)
				synctest.Wait()
				entry := n.View().Entry(repository)
				if entry.HasLive() || entry.HasDirty() != applied {
					t.Errorf("entry: %+v", entry)
				}
			})
		})
	}
}

func TestLedger_unansweredCloseIsRepeated(t *testing.T) {
	run(t, func(t *testing.T, n *node, l *Ledger) {
		w := begin(t, l, repository)
		prepare(t, w, account())
		w.End(true)
		var failed atomic.Int32
		n.setCallback(func([]state.Command) (bool, error) { failed.Add(1); return false, errors.New("no leader") })
		time.Sleep(2*config.Linger + time.Second)
		if times := failed.Load(); times == 0 || times > 3 {
			t.Errorf("the close was proposed %d times in %v", times, 2*config.Linger)
		}
		n.setCallback(nil)
		time.Sleep(config.Linger)
		synctest.Wait()
		if entry := n.View().Entry(repository); entry.HasLive() {
			t.Errorf("entry: %+v", entry)
		}
	})
}
