package proxy

import (
	"context"
	"errors"
	"slices"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/fsm/state"
	"praefect/test/gitaly/memory"
	"praefect/test/must"
)

// fence takes the role from a storage, as a leader does.
func (w *fixture) fence(name string) {
	w.t.Helper()
	w.node.must(w.t, state.Command{Fence: &state.Fence{
		VirtualStorage: "default", Storages: []string{name}, Why: state.WhyDead, Epoch: w.node.View().VirtualStorage("default").Epoch,
	}})
}

// admit lets the successor of a fenced storage serve.
func (w *fixture) admit(name string) {
	w.t.Helper()
	w.node.must(w.t, state.Command{Admit: &state.Admit{
		VirtualStorage: "default", Epoch: w.node.View().VirtualStorage("default").Epoch,
		Storages: []state.Admission{{Storage: name, As: state.Out, Why: state.WhyDead}},
	}})
}

func TestWrite_queuesAndGoesToTheSuccessor(t *testing.T) {
	w := newFixture(t)
	w.fence("gitaly-1")
	done := make(chan error, 1)
	go func() { done <- w.writeRef(t.Context(), "a.git", "refs/heads/main", revision) }()
	w.admit("gitaly-1")
	if err := <-done; status.Code(err) != codes.NotFound { // the repository is nowhere
		t.Errorf("got %v", err)
	}
	if n := len(w.storages["gitaly-2"].asked()); n != 1 {
		t.Errorf("the successor was asked %d times", n)
	}
}

func TestWrite_queuedTooLongIsToBeRepeated(t *testing.T) {
	w := newFixture(t)
	w.fence("gitaly-1")
	err := w.writeRef(t.Context(), "a.git", "refs/heads/main", revision)
	isRetryInfo := func(detail any) bool { _, ok := detail.(*errdetails.RetryInfo); return ok }
	if st := status.Convert(err); st.Code() != codes.Unavailable || !slices.ContainsFunc(st.Details(), isRetryInfo) {
		t.Errorf("got %v", err)
	}
	w.untouched()
}

// TestWrite_fencedMidCall: the client hears that the outcome is unknown, at once
// although the storage says nothing, and the repository is compared.
func TestWrite_fencedMidCall(t *testing.T) {
	w := newFixture(t)
	w.create("a.git")
	w.storages["gitaly-1"].setHook(func(ctx context.Context, _ memory.Call) (bool, error) {
		w.fence("gitaly-1")
		<-ctx.Done()
		return true, nil
	})
	if err := w.writeRef(t.Context(), "a.git", "refs/heads/main", revision); status.Code(err) != codes.Unavailable {
		t.Errorf("got %v, want Unavailable", err)
	}
	w.eventually(func() error {
		if !w.node.View().Entry(keyOf("a.git")).HasDoubt() {
			return errors.New("the entry is not in doubt")
		}
		return nil
	})
}

// TestWrite_fencedBeforeItsStatus: a status that arrived is not passed on.
func TestWrite_fencedBeforeItsStatus(t *testing.T) {
	w := newFixture(t)
	w.create("a.git")
	w.storages["gitaly-1"].setHook(func(context.Context, memory.Call) (bool, error) {
		w.fence("gitaly-1")
		return true, nil
	})
	if err := w.writeRef(t.Context(), "a.git", "refs/heads/main", revision); status.Code(err) != codes.Unavailable {
		t.Errorf("got %v, want Unavailable", err)
	}
}

func TestWrite_withoutLeaseHasNoStatus(t *testing.T) {
	w := newFixture(t)
	w.create("a.git")
	w.storages["gitaly-1"].setHook(func(context.Context, memory.Call) (bool, error) {
		w.session.lose(true)
		return true, nil
	})
	err := w.writeRef(t.Context(), "a.git", "refs/heads/main", revision)
	if status.Code(err) != codes.Unavailable {
		t.Errorf("got %v, want Unavailable", err)
	}
}

// A process that is paused between the ledger's answer and the call must not send the write over a
// connection that was made since: the storage may have been fenced and admitted again.
func TestRouted_neverANewerConnection(t *testing.T) {
	w := newFixture(t)
	conn, err := w.server.storages.Conn("default", "gitaly-1")
	must.Succeed(t, err)
	r := &request{keys: []state.Key{{VirtualStorage: "default", RelativePath: "a.git"}}}
	if got := w.server.routed(r, "gitaly-1", conn.Generation()); got != conn {
		t.Errorf("got %v, want the connection that was routed to", got)
	}
	if got := w.server.routed(r, "gitaly-1", conn.Generation()+1); got != nil {
		t.Errorf("got %v, want none: another connection was routed to", got)
	}
}
