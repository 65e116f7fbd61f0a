package ledger

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"praefect/fsm/routing"
	"praefect/fsm/state"
	"praefect/proxy/ledger/machine"
)

var (
	repository = state.Key{VirtualStorage: "default", RelativePath: "a.git"}
	other      = state.Key{VirtualStorage: "default", RelativePath: "b.git"}
	config     = Config{Linger: 3 * time.Second, QueueTimeout: 10 * time.Second, QueueLimit: 2, LeaseWait: 2 * time.Second}
)

// fixture is a ledger whose Run is going on inside a bubble.
type fixture struct {
	*Ledger
	n *node
	s *session
}

func run(t *testing.T, test func(t *testing.T, w fixture)) { runBelow(t, 1<<62, test) }

// runBelow is run where every instance has applied so much.
func runBelow(t *testing.T, watermark state.Index, test func(t *testing.T, w fixture)) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNode(t), newSession()
		s.watermark = watermark
		l := New(n, s, reach{}, config)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- l.Run(ctx) }()
		synctest.Wait()
		test(t, fixture{l, n, s})
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
}

func request(keys ...state.Key) Request {
	return Request{Keys: keys, Scope: state.Scope{BoundMillis: 8000, RefsOnly: true}}
}

func begin(t *testing.T, l fixture, keys ...state.Key) *Write {
	t.Helper()
	w, err := l.Begin(t.Context(), request(keys...))
	if err != nil {
		t.Fatalf("begin: %v", err)
	}
	return w
}

// beginBeside begins a write that has to wait.
func beginBeside(t *testing.T, ctx context.Context, l fixture) (<-chan *Write, <-chan error) {
	t.Helper()
	began, failed := make(chan *Write, 1), make(chan error, 1)
	go func() {
		if w, err := l.Begin(ctx, request(repository)); err != nil {
			failed <- err
		} else {
			began <- w
		}
	}()
	synctest.Wait()
	if len(began)+len(failed) != 0 {
		t.Fatal("the write does not wait")
	}
	return began, failed
}

func TestLedger_writeIsInTheLedgerBeforeItMayPass(t *testing.T) {
	run(t, func(t *testing.T, l fixture) {
		before := time.Now()
		w := begin(t, l, repository)
		entry := l.n.View().Entry(repository)
		if !entry.HasPrimaryOnly() || !slices.Equal(entry.Behind, []string{"gitaly-2", "gitaly-3"}) {
			t.Errorf("entry: %+v", entry)
		}
		if got := w.Route(); got.Storage != "gitaly-1" || got.Generation != 1 || !got.At.Equal(before) {
			t.Errorf("route: %+v", got)
		}
		if err := w.End(true, true); err != nil {
			t.Error(err)
		}
		time.Sleep(config.Linger + time.Millisecond)
		synctest.Wait()
		if entry := l.n.View().Entry(repository); entry.HasLive() || entry.HasDoubt() || len(entry.Behind) != 2 {
			t.Errorf("entry after the linger: %+v", entry)
		}
		if writes, intents := l.InFlight(); writes != 0 || intents != 0 {
			t.Errorf("in flight: %d writes, %d intents", writes, intents)
		}
		if applied, _ := l.s.reported(); applied != l.n.View().Index {
			t.Errorf("reported %d, want %d", applied, l.n.View().Index)
		}
	})
}

func TestLedger_secondWriteCommitsNothing(t *testing.T) {
	run(t, func(t *testing.T, l fixture) {
		begin(t, l, repository).End(true, true)
		before := l.n.proposed()
		time.Sleep(config.Linger - time.Millisecond)
		begin(t, l, repository).End(true, true)
		if got := l.n.proposed(); got != before {
			t.Errorf("the second write proposed %d commands", got-before)
		}
	})
}

func TestLedger_writeAwaitsTheLease(t *testing.T) {
	run(t, func(t *testing.T, l fixture) {
		l.s.say(func(s *session) { s.lease = routing.Lease{} })
		synctest.Wait()
		if _, leased := l.Reading(); leased {
			t.Error("reads as if there was a lease")
		}
		began, _ := beginBeside(t, t.Context(), l)
		l.s.say(func(s *session) { s.lease = routing.Lease{Until: s.Now() + time.Second} })
		(<-began).End(true, true)
		if _, leased := l.Reading(); !leased {
			t.Error("reads as if there was no lease")
		}
		time.Sleep(time.Second)
		start := time.Now()
		if _, err := l.Begin(t.Context(), request(repository)); !errors.Is(err, ErrNoLease) || time.Since(start) != config.LeaseWait {
			t.Errorf("got %v after %v", err, time.Since(start))
		}
	})
}

func TestLedger_readingNeedsTheViewOfTheLease(t *testing.T) {
	run(t, func(t *testing.T, l fixture) {
		l.s.say(func(s *session) { s.lease.Index = l.n.View().Index + 1 })
		if _, leased := l.Reading(); leased {
			t.Error("reads by a view that is older than the lease")
		}
	})
}

func TestLedger_writeAwaitsTheWatermark(t *testing.T) {
	runBelow(t, 1, func(t *testing.T, l fixture) {
		began, _ := beginBeside(t, t.Context(), l)
		l.s.say(func(s *session) { s.watermark = l.n.View().Index })
		(<-began).End(true, true)
	})
}

func TestLedger_fenceDoomsWritesUnderWay(t *testing.T) {
	run(t, func(t *testing.T, l fixture) {
		doomed := make(chan error, 1)
		r := request(repository)
		r.Doom = func(err error) { doomed <- err }
		w, err := l.Begin(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		l.n.fence("gitaly-1")
		if err := <-doomed; !errors.Is(err, ErrDoomed) {
			t.Errorf("doomed by %v", err)
		}
		began, _ := beginBeside(t, t.Context(), l)
		if err := w.End(true, true); !errors.Is(err, ErrDoomed) {
			t.Errorf("status: %v", err)
		}
		l.n.unfence("gitaly-1")
		(<-began).End(true, true)
	})
}

func TestLedger_holdIsReported(t *testing.T) {
	run(t, func(t *testing.T, l fixture) {
		w := begin(t, l, repository)
		l.s.say(func(s *session) {
			s.pauses = []routing.WritePause{{ID: "promote", VirtualStorage: "default", Until: s.Now() + 8*time.Second}}
		})
		synctest.Wait()
		if _, pauseReports := l.s.reported(); len(pauseReports) != 1 || !pauseReports[0].Applied || pauseReports[0].InFlight != 1 {
			t.Errorf("reported: %+v", pauseReports)
		}
		began, _ := beginBeside(t, t.Context(), l)
		w.End(true, true)
		synctest.Wait()
		if _, pauseReports := l.s.reported(); len(pauseReports) != 1 || pauseReports[0].InFlight+pauseReports[0].Intents != 0 {
			t.Errorf("reported: %+v", pauseReports)
		}
		(<-began).End(true, true) // the pause ends by itself
	})
}

func TestWrite_notSentGoesAnotherWay(t *testing.T) {
	run(t, func(t *testing.T, l fixture) {
		w := begin(t, l, repository)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		// There is no other way, as nothing tells of another connection.
		if err := w.NotSent(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if writes, _ := l.InFlight(); writes != 0 {
			t.Errorf("%d writes are left", writes)
		}
	})
}

func TestWrite_voteOfAnEarlierTry(t *testing.T) {
	run(t, func(t *testing.T, l fixture) {
		reached := func() {
			all := reach{}.Connections()
			for i := range all {
				all[i].Backchannel = true
			}
			l.tell(machine.Connections{Storages: all})
		}
		reached()
		r := request(repository)
		r.Votes = true
		w, err := l.Begin(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		before := w.Route()
		sent := make(chan error, 1)
		go func() { sent <- w.NotSent(t.Context()) }()
		synctest.Wait()
		reached()
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
		if err := <-w.Vote(before, []string{"gitaly-1"}, false); !errors.Is(err, ErrEnded) {
			t.Errorf("got %v", err)
		}
		everybody := []string{"gitaly-1", "gitaly-2", "gitaly-3"}
		if err := <-w.Vote(w.Route(), everybody, false); err != nil {
			t.Errorf("vote: %v", err)
		}
		if err := w.End(true, true, everybody...); err != nil {
			t.Errorf("end: %v", err)
		}
		if e := l.n.View().Entry(repository); len(e.Behind) != 0 {
			t.Errorf("entry: %+v", e)
		}
	})
}

func TestWrite_impatientClient(t *testing.T) {
	run(t, func(t *testing.T, l fixture) {
		guard := lockForRepair(t, l, true)
		ctx, cancel := context.WithCancel(t.Context())
		_, failed := beginBeside(t, ctx, l)
		cancel()
		if err := <-failed; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		guard.Free(true)
		begin(t, l, repository).End(true, true)
	})
}

func TestWrite_impatientClientAndNewsThatLetItPass(t *testing.T) {
	run(t, func(t *testing.T, l fixture) {
		begin(t, l, repository).End(true, true)
		l.s.say(func(s *session) { s.lease = routing.Lease{} })
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		_, failed := beginBeside(t, ctx, l)
		l.s.mu.Lock()
		l.s.lease = routing.Lease{Until: 1 << 62} // of which nobody has heard
		l.s.mu.Unlock()
		cancel()
		if err := <-failed; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		if writes, _ := l.InFlight(); writes != 0 {
			t.Errorf("%d writes are left", writes)
		}
	})
}

func TestWrite_impatientClientLeavesNoUnknownOutcome(t *testing.T) {
	run(t, func(t *testing.T, l fixture) {
		proceed := make(chan struct{})
		l.n.setCallback(func([]state.Command) (bool, error) { <-proceed; return true, nil })
		ctx, cancel := context.WithCancel(t.Context())
		_, failed := beginBeside(t, ctx, l)
		cancel()
		<-failed
		close(proceed)
		time.Sleep(config.Linger + time.Millisecond)
		synctest.Wait()
		if e := l.n.View().Entry(repository); e.HasLive() || e.HasDoubt() || len(e.Behind) != 2 {
			t.Errorf("entry: %+v", e)
		}
	})
}

func TestLedger_unansweredProposalIsUnknown(t *testing.T) {
	run(t, func(t *testing.T, l fixture) {
		lost := errors.New("leadership lost")
		l.n.setCallback(func([]state.Command) (bool, error) { return true, lost })
		if _, err := l.Begin(t.Context(), request(repository)); !errors.Is(err, lost) || !errors.Is(err, ErrUnknown) {
			t.Fatalf("got %v", err)
		}
		l.n.setCallback(nil)
		time.Sleep(2 * config.Linger)
		synctest.Wait()
		if e := l.n.View().Entry(repository); e.HasLive() || !e.HasDoubt() {
			t.Errorf("entry: %+v", e)
		}
	})
}

func TestLedger_unansweredCloseIsRepeated(t *testing.T) {
	run(t, func(t *testing.T, l fixture) {
		begin(t, l, repository).End(true, true)
		var failed atomic.Int32
		l.n.setCallback(func([]state.Command) (bool, error) { failed.Add(1); return false, errors.New("no leader") })
		time.Sleep(2*config.Linger + time.Second)
		if times := failed.Load(); times == 0 || times > 3 {
			t.Errorf("the close was proposed %d times in %v", times, 2*config.Linger)
		}
		l.n.setCallback(nil)
		time.Sleep(config.Linger)
		synctest.Wait()
		if e := l.n.View().Entry(repository); e.HasLive() {
			t.Errorf("entry: %+v", e)
		}
	})
}

func TestLedger_runClosesIdleIntentsAtItsEnd(t *testing.T) {
	var n *node
	run(t, func(t *testing.T, l fixture) {
		n = l.n
		begin(t, l, repository).End(true, true)
		begin(t, l, other) // and does not end
	})
	if n.state.Entry(repository).HasLive() || !n.state.Entry(other).HasLive() {
		t.Errorf("entries: %+v, %+v", n.state.Entry(repository), n.state.Entry(other))
	}
}

// TestLedger_writesEndAfterRun has a write that outlives Run: it ends, and what it
// would have proposed is left to the retirement of its incarnation.
func TestLedger_writesEndAfterRun(t *testing.T) {
	var write *Write
	run(t, func(t *testing.T, l fixture) {
		r := request(repository)
		r.Deletes = true
		w, err := l.Begin(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		w.End(true, true)
		write = begin(t, l, repository) // a success takes the delete back
	})
	if err := write.End(true, true); err != nil {
		t.Error(err)
	}
}

func TestLedger_tellsOfRepositoriesToRepair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config
		var behind []state.Key
		cfg.Behind = func(keys ...state.Key) { behind = append(behind, keys...) }
		l := New(newNode(t), newSession(), reach{}, cfg)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- l.Run(ctx) }()
		w, err := l.Begin(t.Context(), request(repository, other))
		if err != nil {
			t.Fatal(err)
		}
		if len(behind) != 0 {
			t.Error("a repair is asked for while the write is under way")
		}
		w.End(true, true)
		if !slices.Equal(behind, []state.Key{repository, other}) {
			t.Errorf("to be repaired: %v", behind)
		}
		cancel()
		<-done
	})
}
