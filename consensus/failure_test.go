package consensus

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"praefect/consensus/setup"
	"praefect/fsm/state"
	"praefect/test/must"
)

var errDisk = errors.New("input/output error")

// proposing proposes in the background.
func proposing(ctx context.Context, i *instance, c state.Command) <-chan error {
	answered := make(chan error, 1)
	go func() {
		_, err := i.Propose(ctx, c)
		answered <- err
	}()
	return answered
}

// stall makes appends wait; entered is closed at the first one that does.
func stall(f *faultyStore) (entered chan struct{}, release func()) {
	entered, gate := make(chan struct{}), make(chan struct{})
	first := make(chan struct{}, 1)
	first <- struct{}{}
	f.set(func(op string) (bool, error) {
		if op == "append" {
			select {
			case <-first:
				close(entered)
			default:
			}
			<-gate
		}
		return true, nil
	})
	return entered, func() { close(gate) }
}

func within(t testing.TB, what string, ended <-chan struct{}) {
	t.Helper()
	select {
	case <-ended:
	case <-time.After(patience):
		t.Fatalf("still waiting: %s", what)
	}
}

// eventually polls until ok.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	late := time.After(patience)
	for !ok() {
		select {
		case <-poll.C:
		case <-late:
			t.Fatalf("still waiting: %s", what)
		}
	}
}

func TestNode_storeError(t *testing.T) {
	for name, happened := range map[string]bool{"nothing written": false, "written, but not synced": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, f := t.TempDir(), &faultyStore{}
			i := begin(t, dir, f.with).ready(t)
			i.must(t, define())
			f.set(func(string) (bool, error) { return happened, errDisk })
			if _, err := i.Propose(t.Context(), openIntent("a")); !errors.Is(err, ErrUnknown) || !errors.Is(err, errDisk) {
				t.Errorf("got %v, want %v because of %v", err, ErrUnknown, errDisk)
			}
			err := i.end(t)
			if !errors.Is(err, errDisk) || !strings.Contains(err.Error(), "raft.data_dir") {
				t.Errorf("ended with %v, want %v", err, errDisk)
			}
			if _, err := i.Propose(t.Context(), openIntent("b")); !errors.Is(err, ErrNotProposed) {
				t.Errorf("afterwards got %v, want %v", err, ErrNotProposed)
			}

			again := begin(t, dir).ready(t)
			if got := again.entry("a") != nil; got != happened {
				t.Errorf("the entry is there: %t, want %t", got, happened)
			}
		})
	}
}

func TestNode_storeErrorBesideTheLog(t *testing.T) {
	f, terms := &faultyStore{}, 0
	f.set(func(op string) (bool, error) {
		if op == "set CurrentTerm" {
			terms++
		}
		if terms == 4 { // twice for the first entry, once at the start, then to be elected
			return false, errDisk
		}
		return true, nil
	})
	i := begin(t, t.TempDir(), f.with)
	if err := i.end(t); !errors.Is(err, errDisk) {
		t.Errorf("ended with %v, want %v", err, errDisk)
	}
}

func TestNode_storeErrorWhileItStarts(t *testing.T) {
	for _, op := range []string{"set CurrentTerm", "append"} {
		f := &faultyStore{}
		f.set(func(got string) (bool, error) {
			if got == op {
				return false, errDisk
			}
			return true, nil
		})
		dir := t.TempDir()
		n, err := open(t, dir, f.with)
		must.Succeed(t, err)
		if err := errors.Join(n.Run(t.Context()), n.Close()); !errors.Is(err, errDisk) {
			t.Errorf("%s: got %v, want %v", op, err, errDisk)
		}
		begin(t, dir).ready(t).stop(t) // it begins where the failed one left off
	}
}

func TestNode_storeHangs(t *testing.T) {
	t.Parallel() // it waits for the timeout, which a disk that is merely slow must not reach
	dir, f := t.TempDir(), &faultyStore{}
	i := begin(t, dir, f.with, func(c *setup.Config) { c.StoreTimeout = 3 * time.Second }).ready(t)
	i.must(t, define())
	entered, release := stall(f)
	first := proposing(t.Context(), i, openIntent("a"))
	within(t, "the append", entered)
	second := proposing(t.Context(), i, openIntent("b"))
	eventually(t, "the second is queued", func() bool { return i.proposer.queue.len() == 1 })

	err := i.end(t)
	if err == nil || !strings.Contains(err.Error(), "has not answered") {
		t.Errorf("ended with %v", err)
	}
	if err := <-first; !errors.Is(err, ErrUnknown) {
		t.Errorf("under way: got %v, want %v", err, ErrUnknown)
	}
	if err := <-second; !errors.Is(err, ErrNotProposed) {
		t.Errorf("queued: got %v, want %v", err, ErrNotProposed)
	}
	if n, err := open(t, dir); err == nil {
		t.Error("the directory was let go of while a write hangs")
		n.Close()
	}
	release()
	i.library.Wait()
	if err := i.disk.Close(); err != nil {
		t.Error(err)
	}
}

func TestNode_slowStoreIsNoFailure(t *testing.T) {
	f := &faultyStore{}
	i := begin(t, t.TempDir(), f.with).ready(t)
	entered, release := stall(f)
	answered := proposing(t.Context(), i, define())
	within(t, "the append", entered)
	release()
	if err := <-answered; err != nil {
		t.Error(err)
	}
}

func TestNode_stopAnswersWhatIsUnderWay(t *testing.T) {
	f := &faultyStore{}
	i := begin(t, t.TempDir(), f.with).ready(t)
	i.must(t, define())
	entered, release := stall(f)
	first := proposing(t.Context(), i, openIntent("a"))
	within(t, "the append", entered)
	second := proposing(t.Context(), i, openIntent("b"))
	eventually(t, "the second is queued", func() bool { return i.proposer.queue.len() == 1 })
	i.cancel()
	release()
	if err := <-first; err != nil {
		t.Errorf("under way: %v", err)
	}
	if err := <-second; !errors.Is(err, ErrNotProposed) {
		t.Errorf("queued: got %v, want %v", err, ErrNotProposed)
	}
	if err := i.end(t); err != nil {
		t.Errorf("ended with %v", err)
	}
	if _, err := i.Propose(t.Context(), openIntent("c")); !errors.Is(err, ErrNotProposed) {
		t.Errorf("afterwards got %v, want %v", err, ErrNotProposed)
	}
}

func TestNode_Propose_callerLeaves(t *testing.T) {
	f := &faultyStore{}
	i := begin(t, t.TempDir(), f.with).ready(t)
	i.must(t, define())
	entered, release := stall(f)
	gone := errors.New("gone")
	ctx, leave := context.WithCancelCause(t.Context())
	first := proposing(ctx, i, openIntent("a"))
	within(t, "the append", entered)
	second := proposing(ctx, i, openIntent("b"))
	eventually(t, "the second is queued", func() bool { return i.proposer.queue.len() == 1 })
	leave(gone)
	if err := <-first; !errors.Is(err, ErrUnknown) || !errors.Is(err, gone) {
		t.Errorf("under way: got %v, want %v because %v", err, ErrUnknown, gone)
	}
	if err := <-second; !errors.Is(err, ErrNotProposed) || !errors.Is(err, gone) {
		t.Errorf("queued: got %v, want %v because %v", err, ErrNotProposed, gone)
	}
	release()
	i.must(t, openIntent("c"))
	if i.entry("a") == nil || i.entry("b") != nil {
		t.Error("what was under way is to be applied, what was queued is not")
	}
}

func TestNode_Propose_notReady(t *testing.T) {
	n, err := open(t, t.TempDir())
	must.Succeed(t, err)
	defer n.Close()
	if _, err := n.Propose(t.Context(), define()); !errors.Is(err, ErrNotProposed) {
		t.Errorf("got %v, want %v", err, ErrNotProposed)
	}
}

func TestNode_Propose_limits(t *testing.T) {
	f := &faultyStore{}
	i := begin(t, t.TempDir(), f.with, func(c *setup.Config) { c.BatchLimit, c.QueueLimit = 2, 3 }).ready(t)
	entered, release := stall(f)
	var answers []<-chan error
	answers = append(answers, proposing(t.Context(), i, define()))
	within(t, "the append", entered)
	for range 2 {
		answers = append(answers, proposing(t.Context(), i, define()))
	}
	eventually(t, "two are queued", func() bool { return i.proposer.queue.len() == 2 })
	if _, err := i.Propose(t.Context(), define(), define()); !errors.Is(err, ErrQueueFull) || !errors.Is(err, ErrNotProposed) {
		t.Errorf("the queue is full: got %v, want %v", err, ErrQueueFull)
	}
	for name, commands := range map[string][]state.Command{
		"none":     nil,
		"too many": {define(), define(), define()},
	} {
		if _, err := i.Propose(t.Context(), commands...); !errors.Is(err, ErrNotProposed) || errors.Is(err, ErrQueueFull) {
			t.Errorf("%s: got %v, want %v", name, err, ErrNotProposed)
		}
	}
	release()
	for _, answered := range answers {
		if err := <-answered; err != nil {
			t.Error(err)
		}
	}
}

func TestNode_Propose_invalid(t *testing.T) {
	i := begin(t, t.TempDir()).ready(t)
	for name, c := range map[string]state.Command{"not UTF-8": openIntent("a\xff"), "no field": {}} {
		_, err := i.Propose(t.Context(), c)
		var refusal *state.Refusal
		if !errors.Is(err, ErrNotProposed) || !errors.As(err, &refusal) || refusal.Reason != state.RefusedInvalid {
			t.Errorf("%s: got %v, want refused (%s)", name, err, state.RefusedInvalid)
		}
	}
}
