package ledger

import (
	"context"
	"time"

	"praefect/fsm/state"
)

// closeBatch bounds how many marks one proposal closes.
const closeBatch = 256

// closeTimeout bounds one proposal of closes; the marks stay for the next
// round, or for the next incarnation, if it passes.
const closeTimeout = 10 * time.Second

// Run closes marks that have lingered long enough, until ctx ends. Then it
// closes those with nothing in flight at once, within closeTimeout, and
// returns; marks of writes that did not end stay, and are dirty once this
// incarnation is retired.
func (l *Ledger) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		timer := time.NewTimer(l.next())
		select {
		case <-timer.C:
		case <-l.wake:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() == nil {
			l.closeIdle(ctx, time.Now().Add(-l.cfg.Linger))
		}
	}
	l.closeIdle(context.WithoutCancel(ctx), time.Now())
	return nil
}

// next is how long Run may sleep.
func (l *Ledger) next() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if front := l.lingering.Front(); front != nil {
		return max(0, time.Until(front.Value.(*repo).since.Add(l.cfg.Linger)))
	}
	return time.Hour
}

// closeIdle closes the marks that have been idle since the given time or
// longer, clean and dirty ones in one proposal.
func (l *Ledger) closeIdle(ctx context.Context, since time.Time) {
	for {
		l.mu.Lock()
		var repos []*repo
		for front := l.lingering.Front(); front != nil && len(repos) < closeBatch; front = l.lingering.Front() {
			r := front.Value.(*repo)
			if r.since.After(since) {
				break
			}
			l.stir(r)
			repos = append(repos, r)
		}
		if len(repos) == 0 {
			l.mu.Unlock()
			return
		}
		cmds := make([]state.Command, len(repos))
		for i, r := range repos {
			cmds[i].Close = &state.Close{VirtualStorage: r.key.VirtualStorage, Paths: []string{r.key.RelativePath}, Dirty: r.dirty}
		}
		closing := l.beginClose(repos)
		l.mu.Unlock()

		l.cfg.Step("during-close")
		proposal, cancel := context.WithTimeout(ctx, closeTimeout)
		_, err := l.node.Propose(proposal, cmds...)
		cancel()
		// A refused close is of a mark that is not there: nothing to repeat.
		l.closed(repos, closing, err == nil)
		if err != nil {
			return
		}
	}
}

// beginClose makes the marks of repos count as closed: writes that come now
// wait for the channel and open new ones. Caller holds mu.
func (l *Ledger) beginClose(repos []*repo) chan struct{} {
	closing := make(chan struct{})
	for _, r := range repos {
		r.closing = closing
		r.live = false
	}
	return closing
}

// closed ends what beginClose began. Without an answer the mark may still be
// there: it counts as live, and as dirty, and is closed again after a while.
func (l *Ledger) closed(repos []*repo, closing chan struct{}, answered bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range repos {
		r.closing = nil
		if answered {
			r.dirty, r.scope = false, state.Scope{}
		} else {
			r.live, r.dirty = true, true
		}
		l.settleDown(r, false)
		if !answered && r.idle != nil {
			r.since = time.Now()
			l.lingering.MoveToBack(r.idle)
		}
	}
	close(closing)
}
