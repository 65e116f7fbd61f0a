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

// fallBehind leaves the repository behind on the secondaries, with no intent.
func fallBehind(t *testing.T, l world) {
	t.Helper()
	begin(t, l, repository).End(true, true)
	time.Sleep(config.Linger + time.Millisecond)
	synctest.Wait()
}

func repair(t *testing.T, l world, hold bool) *Ticket {
	t.Helper()
	synctest.Wait() // until there is a lease
	ticket, err := l.Repair(t.Context(), repository, hold)
	if err != nil {
		t.Fatalf("repair: %v", err)
	}
	if _, err := ticket.OpenIntent(t.Context(), copying); err != nil {
		t.Fatalf("intent: %v", err)
	}
	return ticket
}

func TestTicket_markInSyncMakesRepositoryClean(t *testing.T) {
	run(t, func(t *testing.T, l world) {
		fallBehind(t, l)
		ticket := repair(t, l, false)
		if !ticket.OpenedAt().Equal(time.Now()) {
			t.Errorf("marked at %v", ticket.OpenedAt())
		}
		if err := ticket.MarkInSync(t.Context(), 0, []string{"gitaly-2", "gitaly-3"}); err != nil {
			t.Fatal(err)
		}
		ticket.Release(true)
		synctest.Wait() // no linger: the intent closes at once
		if entry := l.n.View().Entry(repository); entry != nil {
			t.Errorf("entry: %+v", entry)
		}
	})
}

func TestTicket_writeSpoilsOptimisticRepair(t *testing.T) {
	run(t, func(t *testing.T, l world) {
		fallBehind(t, l)
		ticket := repair(t, l, false)
		w := begin(t, l, repository)
		select {
		case <-ticket.Spoiled():
		default:
			t.Error("the ticket does not know of the write")
		}
		if err := ticket.MarkInSync(t.Context(), 0, []string{"gitaly-2"}); !errors.Is(err, ErrSpoiled) {
			t.Errorf("got %v, want ErrSpoiled", err)
		}
		w.End(true, true)
		ticket.Release(true)
	})
}

func TestLedger_repairIsBusyWhileWriteIsInFlight(t *testing.T) {
	run(t, func(t *testing.T, l world) {
		w := begin(t, l, repository)
		if _, err := l.Repair(t.Context(), repository, false); !errors.Is(err, ErrBusy) {
			t.Errorf("got %v, want ErrBusy", err)
		}
		w.End(true, true)
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

func TestTicket_holdKeepsWritesWaiting(t *testing.T) {
	run(t, func(t *testing.T, l world) {
		first := begin(t, l, repository)
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
		began, _ := beginBeside(t, t.Context(), l)
		first.End(true, true)
		ticket := <-got
		if _, err := ticket.OpenIntent(t.Context(), copying); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if len(began) != 0 {
			t.Fatal("a new write passed a holding ticket")
		}
		ticket.Unhold()
		(<-began).End(true, true)
		ticket.Release(true)
		ticket.Unhold()
	})
}

func TestLedger_heldWritesAreBounded(t *testing.T) {
	run(t, func(t *testing.T, l world) {
		ticket := repair(t, l, true)
		errs := make(chan error, 3)
		start := time.Now()
		for range 3 {
			go func() {
				_, err := l.Begin(t.Context(), request(repository))
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
		ticket.Release(true)
	})
}

func TestTicket_resolveDoubtThenMarkInSync(t *testing.T) {
	run(t, func(t *testing.T, l world) {
		begin(t, l, repository).End(false, false)
		synctest.Wait()
		inDoubt := l.n.View().Entry(repository).Intents[0]
		ticket := repair(t, l, false)
		err := ticket.ResolveDoubt(t.Context(), Resolution{
			Doubts:    []state.DoubtRef{{Incarnation: inDoubt.Incarnation, At: inDoubt.InDoubt.At}},
			Authority: "gitaly-1",
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := ticket.MarkInSync(t.Context(), 0, []string{"gitaly-2", "gitaly-3"}); err != nil {
			t.Fatal(err)
		}
		ticket.Release(true)
		synctest.Wait()
		if entry := l.n.View().Entry(repository); entry != nil {
			t.Errorf("entry: %+v", entry)
		}
	})
}

func TestTicket_impatientRepairKeepsTheOrder(t *testing.T) {
	run(t, func(t *testing.T, l world) {
		fallBehind(t, l)
		ticket := repair(t, l, false)
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
			failed <- ticket.MarkInSync(ctx, 0, []string{"gitaly-2", "gitaly-3"})
			ticket.Release(true)
		}()
		if err := <-failed; err == nil {
			t.Fatal("no error")
		}
		began, _ := beginBeside(t, t.Context(), l)
		close(proceed)
		w := <-began
		if e := l.n.View().Entry(repository); len(e.Behind) != 2 {
			t.Errorf("a late verdict took back what the write relies on: %+v", e)
		}
		w.End(true, true)
	})
}

func TestTicket_markDoubtClosesTheIntent(t *testing.T) {
	run(t, func(t *testing.T, l world) {
		ticket := repair(t, l, false)
		if err := ticket.MarkDoubt(t.Context(), "gitaly-1", []state.Difference{{Storage: "gitaly-2", What: "it lacks a reference"}}); err != nil {
			t.Fatal(err)
		}
		ticket.Release(true)
		synctest.Wait() // no linger
		entry := l.n.View().Entry(repository)
		if entry == nil || entry.HasLive() || !entry.HasDoubt() || len(entry.Intents[0].InDoubt.Targets) != 1 {
			t.Errorf("entry: %v", entry)
		}
	})
}

func TestTicket_markDoubtIsSpoiledByAWrite(t *testing.T) {
	run(t, func(t *testing.T, l world) {
		ticket := repair(t, l, false)
		w := begin(t, l, repository)
		if err := ticket.MarkDoubt(t.Context(), "gitaly-1", []state.Difference{{Storage: "gitaly-2"}}); !errors.Is(err, ErrSpoiled) {
			t.Errorf("got %v, want ErrSpoiled", err)
		}
		w.End(true, true)
		ticket.Release(true)
	})
}
