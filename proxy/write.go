package proxy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"praefect/fsm/state"
	"praefect/proxy/ledger"
	"praefect/proxy/method"
	"praefect/proxy/router"
	"praefect/proxy/storage"
	"praefect/proxy/stream"
)

// routeAttempts bounds how often one write is routed anew because the agreed
// state changed between its routing and its mark.
const routeAttempts = 3

// write forwards a mutator to the repository's primary. The order is the
// promise (P5): in flight, then routed, then marked and accounted for, then
// forwarded; and the status reaches the client last.
func (s *Server) write(r *request) error {
	w, err := s.ledger.Begin(r.ctx, r.keys)
	if err != nil {
		return err
	}
	// Until it is forwarded the write has ended whatever happens.
	ended := true
	defer func() { w.End(ended) }()

	// If the client named no deadline the write gets one: the mark records how
	// long an effect may still come.
	ctx, cancel := r.deadline(s.cfg.WriteTimeout)
	defer cancel()

	conn, account, routed, behind, err := s.prepare(ctx, r, w)
	// Whatever becomes of the write, what the ledger says has to be repaired.
	enqueue := sync.OnceFunc(func() {
		if behind {
			s.behind(r.keys...)
		}
	})
	defer enqueue()
	if err != nil {
		return err
	}
	r.call.storage = conn.Target().Storage

	// The token is dated when the write was routed: the storage refuses one that
	// is much older, so that a process that is paused here cannot send it late.
	ctx = storage.WithTokenTime(ctx, routed)
	ended = false // from here on we may lose the storage, or our life
	outcome := s.forward(ctx, r, s.stepped(conn), func(o stream.Outcome) error {
		if o.Ended && o.Err == nil {
			s.step("after-success")
			s.undelete(ctx, r, w, account)
		}
		enqueue()
		s.step("after-enqueue")
		s.step("before-status")
		return nil
	})
	ended = outcome.Ended || !outcome.Sent
	return outcome.Err
}

// prepare routes the write and has its mark and account committed. It returns
// when the route was decided, and whether storages fell behind in the ledger.
func (s *Server) prepare(ctx context.Context, r *request, w *ledger.Write) (conn *storage.Conn, account ledger.Account, routed time.Time, behind bool, err error) {
	vs := r.keys[0].VirtualStorage
	for range routeAttempts {
		routed = time.Now()
		route, err := router.RouteWrite(s.node.View(), r.keys, s.reacher(vs))
		if err != nil {
			return nil, account, routed, behind, err
		}
		if conn, err = s.storages.Conn(vs, route.Primary); err != nil {
			return nil, account, routed, behind, err
		}
		account = ledger.Account{Scope: r.scope(ctx, route.Primary), Primary: route.Primary, Epoch: route.Epoch}
		if r.method.Change == method.ChangeDelete {
			account.Deleted = state.DeletedSet
		}
		changed, err := w.Prepare(ctx, account)
		behind = behind || changed
		if err == nil {
			return conn, account, routed, behind, nil
		}
		var refusal *state.Refusal
		if !errors.As(err, &refusal) {
			return nil, account, routed, behind, fmt.Errorf("mark the repository: %w", err)
		}
	}
	return nil, account, routed, behind, errRouting
}

// undelete takes back, once a write has succeeded, what an earlier delete told
// the storages that are behind: remove the repository if the primary lacks it.
// A create must not take it back before its effect: if it then fails, nobody
// would remove what the delete has left. A repair looks at the primary first,
// so it does no harm if we die, or fail, before this.
func (s *Server) undelete(ctx context.Context, r *request, w *ledger.Write, account ledger.Account) {
	if r.method.Change == method.ChangeDelete {
		return
	}
	view := s.node.View()
	deleted := func(key state.Key) bool { e := view.Entry(key); return e != nil && e.Deleted }
	if !slices.ContainsFunc(r.keys, deleted) {
		return
	}
	account.Deleted = state.DeletedClear
	if _, err := w.Prepare(ctx, account); err != nil {
		s.log.Info("a delete was not taken back", "virtual_storage", r.keys[0].VirtualStorage, "relative_path", r.keys[0].RelativePath, "err", err)
	}
}

// errRouting ends a write whose repository changed its primary, or whose
// instance was retired, at every attempt to route it.
var errRouting = fmt.Errorf("%w: the agreed state of the repository keeps changing; try again", storage.ErrUnreachable)

// deadline is the request's context with a deadline in any case.
func (r *request) deadline(timeout time.Duration) (context.Context, context.CancelFunc) {
	if _, ok := r.ctx.Deadline(); ok {
		return context.WithCancel(r.ctx)
	}
	return context.WithTimeout(r.ctx, timeout)
}

// scope is what the write can do, and until when.
func (r *request) scope(ctx context.Context, primary string) state.Scope {
	deadline, _ := ctx.Deadline() // deadline saw to it that there is one
	return state.Scope{
		BoundMillis: bound(time.Until(deadline)).Milliseconds(),
		RefsOnly:    r.method.RefsOnly,
		Targets:     []string{primary},
	}
}

// bound rounds a time up to the next power of two of seconds, so that writes
// with nearly the same deadline share one mark.
func bound(d time.Duration) time.Duration {
	rounded := time.Second
	for rounded < d {
		rounded *= 2
	}
	return rounded
}
