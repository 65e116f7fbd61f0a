package ledger

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"praefect/fsm/state"
)

var copying = state.Scope{BoundMillis: 4000, Targets: []string{"gitaly-2", "gitaly-3"}}

// fallBehind leaves the repository behind on the secondaries, with no mark.
func fallBehind(t *testing.T, l *Ledger) {
	t.Helper()
	w := begin(t, l, repository)
	prepare(t, w, account())
	w.End(true)
	time.Sleep(config.Linger + time.Millisecond)
	synctest.Wait()
}

func repair(t *testing.T, l *Ledger, hold bool) *Ticket {
	t.Helper()
	ticket, err := l.Repair(t.Context(), repository, hold)
	if err != nil {
		t.Fatalf("repair: %v", err)
	}
	if _, err := ticket.Mark(t.Context(), copying); err != nil {
		t.Fatalf("mark: %v", err)
	}
	return ticket
}

func TestTicket_inSyncMakesRepositoryOrdinary(t *testing.T) {
	run(t, func(t *testing.T, n *node, l *Ledger) {
		fallBehind(t, l)
		ticket := repair(t, l, false)
		if err := ticket.InSync(t.Context(), []string{"gitaly-2", "gitaly-3"}); err != nil {
			t.Fatal(err)
		}
		ticket.Release(true)
		synctest.Wait() // no linger: the mark closes at once
		if entry := n.View().Entry(repository); entry != nil {
			t.Errorf("entry: %+v", entry)
		}
	})
}

func TestTicket_writeSpoilsOptimisticRepair(t *testing.T) {
	run(t, func(t *testing.T, n *node, l *Ledger) {
		fallBehind(t, l)
		ticket := repair(t, l, false)
		w := begin(t, l, repository)
		select {
		case <-ticket.Spoiled():
		default:
			t.Error("the ticket does not know of the write")
		}
		if err := ticket.InSync(t.Context(), []string{"gitaly-2"}); !errors.Is(err, ErrSpoiled) {
			t.Errorf("got %v, want ErrSpoiled", err)
		}
		w.End(true)
		ticket.Release(true)
		if !n.View().Entry(repository).IsBehind("gitaly-2") {
			t.Error("declared in sync although a write had begun")
		}
	})
}

func TestLedger_repairIsBusyWhileWriteIsInFlight(t *testing.T) {
	run(t, func(t *testing.T, n *node, l *Ledger) {
		w := begin(t, l, repository)
		if _, err := l.Repair(t.Context(), repository, false); !errors.Is(err, ErrBusy) {
			t.Errorf("got %v, want ErrBusy", err)
		}
		w.End(true)
		ticket, err := l.Repair(t.Context(), repository, false)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.Repair(t.Context(), repository, true); !errors.Is(err, ErrBusy) {
			t.Errorf("second ticket: got %v, want ErrBusy", err)
		}
		ticket.Release(true)
	})
}

func TestTicket_holdWaitsForWritesAndKeepsNewOnesWaiting(t *testing.T) {
	run(t, func(t *testing.T, n *node, l *Ledger) {
		first := begin(t, l, repository)
		prepare(t, first, account())
		got := make(chan *Ticket, 1)
		go func() {
			ticket, err := l.Repair(t.Context(), repository, true)
			if err != nil {
				t.Error(err)
			}
			got <- ticket
		}()
		synctest.Wait()
		if len(got) != 0 {
			t.Fatal("held while a write was in flight")
		}
		began := make(chan *Write, 1)
		go func() {
			w, err := l.Begin(t.Context(), []state.Key{repository})
			if err != nil {
				t.Error(err)
			}
			began <- w
		}()
		first.End(true)
		ticket := <-got
		if _, err := ticket.Mark(t.Context(), copying); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if len(began) != 0 {
			t.Fatal("a new write passed a holding ticket")
		}
		if err := ticket.InSync(t.Context(), []string{"gitaly-2", "gitaly-3"}); err != nil {
			t.Fatal(err)
		}
		ticket.Release(true)
		w := <-began
		if !prepare(t, w, account()) {
			t.Error("the write after the repair did not account anew")
		}
		w.End(true)
	})
}

func TestLedger_heldWritesAreBounded(t *testing.T) {
	run(t, func(t *testing.T, n *node, l *Ledger) {
		ticket := repair(t, l, true)
		errs := make(chan error, 3)
		start := time.Now()
		for range 3 {
			go func() {
				_, err := l.Begin(t.Context(), []state.Key{repository})
				errs <- err
			}()
		}
		if err := <-errs; !errors.Is(err, ErrHeld) || time.Since(start) != 0 {
			t.Errorf("beyond the limit: %v after %v", err, time.Since(start))
		}
		for range 2 {
			if err := <-errs; !errors.Is(err, ErrHeld) || time.Since(start) != config.HoldTimeout {
				t.Errorf("held: %v after %v", err, time.Since(start))
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := l.Begin(ctx, []state.Key{repository}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("impatient client: %v", err)
		}
		ticket.Release(true)
		begin(t, l, repository).End(true)
	})
}

func TestTicket_unendedCopyLeavesDirtyMark(t *testing.T) {
	run(t, func(t *testing.T, n *node, l *Ledger) {
		fallBehind(t, l)
		ticket := repair(t, l, false)
		if err := ticket.InSync(t.Context(), []string{"gitaly-2"}); err != nil {
			t.Fatal(err)
		}
		ticket.Release(false)
		synctest.Wait()
		entry := n.View().Entry(repository)
		if !entry.HasDirty() || entry.HasLive() || !entry.IsBehind("gitaly-3") || entry.IsBehind("gitaly-2") {
			t.Errorf("entry: %+v", entry)
		}
	})
}

func TestTicket_settleThenInSync(t *testing.T) {
	run(t, func(t *testing.T, n *node, l *Ledger) {
		w := begin(t, l, repository)
		prepare(t, w, account())
		w.End(false)
		synctest.Wait()
		dirty := n.View().Entry(repository).Marks[0]
		ticket := repair(t, l, false)
		err := ticket.Settle(t.Context(), Settlement{
			Marks:     []state.DirtyRef{{Incarnation: dirty.Incarnation, At: dirty.Dirty.At}},
			Authority: "gitaly-1",
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := ticket.InSync(t.Context(), []string{"gitaly-2", "gitaly-3"}); err != nil {
			t.Fatal(err)
		}
		ticket.Release(true)
		synctest.Wait()
		if entry := n.View().Entry(repository); entry != nil {
			t.Errorf("entry: %+v", entry)
		}
	})
}

func TestTicket_unholdLetsWritesPassAndSpoil(t *testing.T) {
	run(t, func(t *testing.T, n *node, l *Ledger) {
		ticket := repair(t, l, true)
		began := make(chan *Write, 1)
		go func() {
			w, err := l.Begin(t.Context(), []state.Key{repository})
			if err != nil {
				t.Error(err)
			}
			began <- w
		}()
		synctest.Wait()
		ticket.Unhold()
		ticket.Unhold()
		w := <-began
		if err := ticket.InSync(t.Context(), []string{"gitaly-2"}); !errors.Is(err, ErrSpoiled) {
			t.Errorf("got %v, want ErrSpoiled", err)
		}
		w.End(true)
		ticket.Release(true)
		ticket.Unhold()
	})
}

func TestLedger_repairWaitsUntilDirtIsRecorded(t *testing.T) {
	run(t, func(t *testing.T, n *node, l *Ledger) {
		first, second := begin(t, l, repository), begin(t, l, repository)
		prepare(t, first, account())
		first.End(false)
		for _, hold := range []bool{false, true} {
			if _, err := l.Repair(t.Context(), repository, hold); !errors.Is(err, ErrBusy) {
				t.Errorf("hold=%v: got %v, want ErrBusy", hold, err)
			}
		}
		second.End(true)
		synctest.Wait()
		repair(t, l, false).Release(true)
	})
}
