package ledger

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"praefect/fsm/repair"
	"praefect/fsm/state"
)

var copying = state.Scope{BoundMillis: 4000, Targets: []string{"gitaly-2", "gitaly-3"}}

// fallBehind leaves the repository behind on the secondaries, with no intent.
func fallBehind(t *testing.T, l fixture) {
	t.Helper()
	begin(t, l, repository).End(true, true)
	time.Sleep(config.Linger + time.Millisecond)
	synctest.Wait()
}

func lockForRepair(t *testing.T, l fixture, pause bool) *Guard {
	t.Helper()
	synctest.Wait() // until there is a lease
	guard, err := l.LockForRepair(t.Context(), repository, pause)
	if err != nil {
		t.Fatalf("repair: %v", err)
	}
	if _, err := guard.OpenIntent(t.Context(), copying); err != nil {
		t.Fatalf("intent: %v", err)
	}
	return guard
}

func TestGuard_markInSyncMakesRepositoryClean(t *testing.T) {
	run(t, func(t *testing.T, l fixture) {
		fallBehind(t, l)
		guard := lockForRepair(t, l, false)
		if !guard.OpenedAt().Equal(time.Now()) {
			t.Errorf("opened at %v", guard.OpenedAt())
		}
		if err := guard.MarkInSync(t.Context(), 0, []string{"gitaly-2", "gitaly-3"}); err != nil {
			t.Fatal(err)
		}
		guard.Free(true)
		synctest.Wait() // no linger: the intent closes at once
		if entry := l.n.View().Entry(repository); entry != nil {
			t.Errorf("entry: %+v", entry)
		}
	})
}

func TestGuard_writeInvalidatesOptimisticRepair(t *testing.T) {
	run(t, func(t *testing.T, l fixture) {
		fallBehind(t, l)
		guard := lockForRepair(t, l, false)
		w := begin(t, l, repository)
		select {
		case <-guard.Invalidated():
		default:
			t.Error("the guard does not know of the write")
		}
		if err := guard.MarkInSync(t.Context(), 0, []string{"gitaly-2"}); !errors.Is(err, repair.ErrInvalidated) {
			t.Errorf("got %v, want ErrInvalidated", err)
		}
		w.End(true, true)
		guard.Free(true)
	})
}

func TestLedger_repairIsBusyWhileWriteIsInFlight(t *testing.T) {
	run(t, func(t *testing.T, l fixture) {
		w := begin(t, l, repository)
		if _, err := l.LockForRepair(t.Context(), repository, false); !errors.Is(err, repair.ErrRepositoryBusy) {
			t.Errorf("got %v, want ErrRepositoryBusy", err)
		}
		w.End(true, true)
		guard, err := l.LockForRepair(t.Context(), repository, false)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.LockForRepair(t.Context(), repository, true); !errors.Is(err, repair.ErrRepositoryBusy) {
			t.Errorf("second guard: got %v, want ErrRepositoryBusy", err)
		}
		guard.Free(true)
	})
}

func TestGuard_holdKeepsWritesWaiting(t *testing.T) {
	run(t, func(t *testing.T, l fixture) {
		first := begin(t, l, repository)
		got := make(chan *Guard, 1)
		go func() {
			guard, err := l.LockForRepair(t.Context(), repository, true)
			if err != nil {
				t.Error(err)
			}
			got <- guard
		}()
		synctest.Wait()
		if len(got) != 0 {
			t.Fatal("held while a write was in flight")
		}
		began, _ := beginBeside(t, t.Context(), l)
		first.End(true, true)
		guard := <-got
		if _, err := guard.OpenIntent(t.Context(), copying); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if len(began) != 0 {
			t.Fatal("a new write passed a pausing guard")
		}
		guard.Resume()
		(<-began).End(true, true)
		guard.Free(true)
		guard.Resume()
	})
}

func TestLedger_heldWritesAreBounded(t *testing.T) {
	run(t, func(t *testing.T, l fixture) {
		guard := lockForRepair(t, l, true)
		errs := make(chan error, 3)
		start := time.Now()
		for range 3 {
			go func() {
				_, err := l.Begin(t.Context(), request(repository))
				errs <- err
			}()
		}
		if err := <-errs; !errors.Is(err, ErrQueued) || time.Since(start) != 0 {
			t.Errorf("beyond the limit: %v after %v", err, time.Since(start))
		}
		for range 2 {
			if err := <-errs; !errors.Is(err, ErrQueued) || time.Since(start) != config.QueueTimeout {
				t.Errorf("held: %v after %v", err, time.Since(start))
			}
		}
		guard.Free(true)
	})
}

func TestGuard_resolveDoubtThenMarkInSync(t *testing.T) {
	run(t, func(t *testing.T, l fixture) {
		begin(t, l, repository).End(false, false)
		synctest.Wait()
		inDoubt := l.n.View().Entry(repository).Intents[0]
		guard := lockForRepair(t, l, false)
		err := guard.ResolveDoubt(t.Context(), repair.Resolution{
			Doubts:    []state.DoubtRef{{Incarnation: inDoubt.Incarnation, At: inDoubt.InDoubt.At}},
			Authority: "gitaly-1",
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := guard.MarkInSync(t.Context(), 0, []string{"gitaly-2", "gitaly-3"}); err != nil {
			t.Fatal(err)
		}
		guard.Free(true)
		synctest.Wait()
		if entry := l.n.View().Entry(repository); entry != nil {
			t.Errorf("entry: %+v", entry)
		}
	})
}

func TestGuard_impatientRepairKeepsTheOrder(t *testing.T) {
	run(t, func(t *testing.T, l fixture) {
		fallBehind(t, l)
		guard := lockForRepair(t, l, false)
		proceed := make(chan struct{})
		l.n.setCallback(func(cmds []state.Command) (bool, error) {
			if cmds[0].MarkInSync != nil {
				<-proceed
			}
			return true, nil
		})
		failed := make(chan error, 1)
		go func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			failed <- guard.MarkInSync(ctx, 0, []string{"gitaly-2", "gitaly-3"})
			guard.Free(true)
		}()
		if err := <-failed; err == nil {
			t.Fatal("no error")
		}
		began, _ := beginBeside(t, t.Context(), l)
		close(proceed)
		w := <-began
		if e := l.n.View().Entry(repository); len(e.Behind) != 2 {
			t.Errorf("a late conclusion took back what the write relies on: %+v", e)
		}
		w.End(true, true)
	})
}

func TestGuard_markDoubtClosesTheIntent(t *testing.T) {
	run(t, func(t *testing.T, l fixture) {
		guard := lockForRepair(t, l, false)
		if err := guard.MarkDoubt(t.Context(), "gitaly-1", []state.Difference{{Storage: "gitaly-2", What: "it lacks a reference"}}); err != nil {
			t.Fatal(err)
		}
		guard.Free(true)
		synctest.Wait() // no linger
		entry := l.n.View().Entry(repository)
		if entry == nil || entry.HasLive() || !entry.HasDoubt() || len(entry.Intents[0].InDoubt.Targets) != 1 {
			t.Errorf("entry: %v", entry)
		}
	})
}

func TestGuard_markDoubtIsInvalidatedByAWrite(t *testing.T) {
	run(t, func(t *testing.T, l fixture) {
		guard := lockForRepair(t, l, false)
		w := begin(t, l, repository)
		if err := guard.MarkDoubt(t.Context(), "gitaly-1", []state.Difference{{Storage: "gitaly-2"}}); !errors.Is(err, repair.ErrInvalidated) {
			t.Errorf("got %v, want ErrInvalidated", err)
		}
		w.End(true, true)
		guard.Free(true)
	})
}
