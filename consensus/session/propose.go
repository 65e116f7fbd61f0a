package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"praefect/consensus"
	"praefect/fsm/condition"
	"praefect/fsm/state"
)

// proposeTimeout bounds a proposal of the leader.
const proposeTimeout = 5 * time.Second

// askAgain is the pause before a command that was refused is proposed again:
// every proposal is an entry of the log.
const askAgain = 30 * time.Second

// turnedDown is why the state refused a command.
type turnedDown struct {
	why   string
	until time.Duration
}

// allowed leaves out the commands that were refused lately, and says so.
func (t *term) allowed(now time.Duration, commands []state.Command) (rest []state.Command, alarms []condition.Raised) {
	for name, r := range t.turnedDown {
		if now >= r.until {
			delete(t.turnedDown, name)
		}
	}
	for _, c := range commands {
		if r, ok := t.turnedDown[describe(c)]; ok {
			alarms = append(alarms, condition.Raised{Name: condition.CommandRefused, Text: r.why})
			continue
		}
		rest = append(rest, c)
	}
	return rest, alarms
}

// describe names a command for people, and for telling two apart.
func describe(c state.Command) string {
	text, err := json.Marshal(c)
	if err != nil {
		return fmt.Sprintf("%+v", c)
	}
	return string(text)
}

// answer is how a proposal ended: with err its outcome is not known, or it was
// not made.
type answer struct {
	commands []state.Command
	results  []state.Result
	err      error
}

// propose proposes in this term, one proposal at a time. Caller holds mu.
func (t *term) propose(ctx context.Context, proposals *sync.WaitGroup, commands []state.Command) {
	if len(commands) == 0 {
		return
	}
	ended := make(chan answer, 1)
	t.proposing = ended
	proposals.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, proposeTimeout)
		defer cancel()
		results, err := t.s.node.ProposeAs(ctx, t.Term, commands...)
		ended <- answer{commands, results, err}
	})
}

// answered takes the answer to a proposal.
func (t *term) answered(a answer) {
	now := t.s.cfg.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.proposing = nil
	// An instance that is retired now is not let in any more. While that is not known it
	// gets no lease: the entry may still come.
	if a.err == nil || errors.Is(a.err, consensus.ErrNotProposed) {
		t.known.Answered(a.commands)
	}
	if a.err != nil {
		t.s.cfg.Logger.Warn("a proposal of the leader has failed; the next decision looks at the state", "term", t.Term, "err", a.err)
	}
	for i, r := range a.results {
		// Another epoch, or another term: the next decision is another one.
		if r.Refusal != nil && r.Refusal.Reason != state.RefusedEpoch && r.Refusal.Reason != state.RefusedTerm {
			what := describe(a.commands[i])
			t.turnedDown[what] = turnedDown{why: what + " was refused: " + r.Refusal.Error(), until: now + askAgain}
		}
	}
	if t.cutOver && t.running != nil {
		t.running.cutOver(a)
	}
	t.cutOver = false
}
