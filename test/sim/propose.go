package sim

import (
	"errors"
	"fmt"
	"time"

	"praefect/fsm/state"
)

var (
	errNotProposed = errors.New("not proposed")
	errUnknown     = errors.New("proposed with unknown outcome")
)

const (
	attemptTimeout = 800 * time.Millisecond
	firstRetry     = 10 * time.Millisecond
	lastRetry      = 200 * time.Millisecond
)

// answer is how a proposal ended.
type answer struct {
	results []state.Result
	err     error
}

// proposal has the commands that one caller wants in the log.
type proposal struct {
	commands []state.Command
	taken    bool
	reply    reply[answer]
}

// proposer turns the commands of one life of an instance into batches, one at
// a time, and repeats one whose outcome is unknown under the same request id.
type proposer struct {
	in     *instance
	inc    state.Incarnation
	number uint64
	queue  []*proposal
	more   signal
}

// propose waits for the answer, at most for a time.
func (p *proposer) propose(t *task, timeout time.Duration, commands ...state.Command) ([]state.Result, error) {
	for _, c := range commands {
		if err := c.Validate(); err != nil {
			p.in.w.failf("%s proposes nonsense: %v", p.in.name, err)
		}
	}
	pr := &proposal{commands: commands}
	p.queue = append(p.queue, pr)
	p.more.notify()
	if !pr.reply.wait(t, timeout) {
		p.in.w.cov.UnknownOutcomes++
		if pr.taken {
			return nil, errUnknown
		}
		pr.taken = true
		return nil, errNotProposed
	}
	return pr.reply.value.results, pr.reply.value.err
}

// run proposes the queued commands, permanently.
func (p *proposer) run(t *task) {
	for {
		t.waitFor(&p.more, -1, func() bool { return len(p.queue) > 0 })
		var taken []*proposal
		var commands []state.Command
		for len(p.queue) > 0 {
			pr := p.queue[0]
			p.queue = p.queue[1:]
			if !pr.taken {
				pr.taken = true
				taken = append(taken, pr)
				commands = append(commands, pr.commands...)
			}
		}
		if len(commands) == 0 {
			continue
		}
		results := p.commit(t, commands)
		for _, pr := range taken {
			n := len(pr.commands)
			pr.reply.set(answer{results: results[:n:n]})
			results = results[n:]
		}
	}
}

// commit has the commands in the log as one batch, however long it takes, and
// returns when the own view has applied it.
func (p *proposer) commit(t *task, commands []state.Command) []state.Result {
	p.number++
	w := p.in.w
	w.requests++
	b := &state.Batch{
		Version: state.CommandVersion, RequestID: fmt.Sprint("r", w.requests), Incarnation: p.inc,
		Number: p.number, Commands: commands,
	}
	// Each batch of the next release needs its level, no matter which commands it has.
	if next := state.CommandVersion + 1; w.setup.rolling && p.in.level == next && w.chance(0.3) && p.in.raft.view.Allows(next) == nil {
		b.Version = next
	}
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		if results := p.attempt(t, b); results != nil {
			return results
		}
		t.sleep(wait)
	}
}

// attempt tries once, through the leader; nil means that it is not known, or
// known not, to be in the log.
func (p *proposer) attempt(t *task, b *state.Batch) []state.Result {
	r := p.in.raft
	if r.leading {
		if r.handing {
			return nil
		}
		at := r.append(b)
		return r.await(t, at, r.term)
	}
	if r.leader < 0 {
		return nil
	}
	to, from := p.in.w.instances[r.leader], p.in
	var rep reply[[]state.Result]
	life := from.life
	p.in.w.net.datagram(from.node, to.process, func() {
		to.run(func(t *task) {
			// It may lie there until it was repeated, and others have overtaken it.
			if to.w.chance(to.w.setup.overtaken) {
				t.sleep(to.w.between(0, 3*time.Second))
			}
			if !to.raft.leading || to.raft.handing {
				return
			}
			at, term := to.raft.append(b), to.raft.term
			results := to.raft.await(t, at, term)
			if results == nil {
				return
			}
			to.w.net.datagram(to.node, from.process, func() {
				if from.life == life {
					rep.set(results)
				}
			})
		})
	})
	if !rep.wait(t, attemptTimeout) {
		return nil
	}
	// A follower answers once its own view has it.
	index := rep.value[0].Index
	if !t.waitFor(&r.changed, attemptTimeout, func() bool { return r.view.Index >= index }) {
		return nil
	}
	return rep.value
}

// await waits until the entry that this leader of a term put at a place is
// applied; nil if it gives up before, and cannot tell.
func (r *raft) await(t *task, at int, term uint64) []state.Result {
	t.waitFor(&r.changed, attemptTimeout, func() bool { return r.applied >= at || !r.leading || r.term != term })
	if r.applied >= at && len(r.log) >= at && r.log[at-1].term == term {
		return r.results[at]
	}
	return nil
}

// proposeAs puts commands into the log as the leader of a term, or not at all:
// under no other term are they applied.
func (r *raft) proposeAs(t *task, term uint64, by state.Incarnation, commands ...state.Command) ([]state.Result, error) {
	if !r.leading || r.handing || r.term != term {
		return nil, errNotProposed
	}
	r.in.w.requests++
	b := &state.Batch{
		Version: state.CommandVersion, RequestID: fmt.Sprint("r", r.in.w.requests), Incarnation: by,
		Commands: commands, Term: term,
	}
	at := r.append(b)
	results := r.await(t, at, term)
	if results == nil {
		return nil, errUnknown
	}
	return results, nil
}
