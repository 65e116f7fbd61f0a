package quorum

import (
	"slices"
	"time"
)

// The bounds of the grace.
const (
	graceMin = time.Second
	graceMax = 30 * time.Second
)

// VoteTimeout is the default of Config.VoteTimeout. It is longer than git waits for a lock (1 s
// for that of a reference, 10 s for that of packed-refs), and than it takes to notice a
// storage that hangs.
const VoteTimeout = 12 * time.Second

// lookAgain is how often Hurry is asked for.
const lookAgain = 250 * time.Millisecond

// graceEnds is when storages that have not voted are left out. A storage that lives is
// waited for longer: a lock of git or a short pause must not cost a copy, because the
// repair would cost more. So is one that is hurried, if the write would be acknowledged
// with too few copies. Where that was in vain for none but the slowest, it gets a moment
// more: one cause kept them all.
func (q *Votes) graceEnds() time.Duration {
	end := q.since + Grace(q.since-q.cfg.Began)
	agreeing, _ := q.count(q.voters[0].vote)
	switch {
	case q.short(agreeing), q.worthwhile():
		return max(end, q.since+q.cfg.VoteTimeout)
	case q.enough > end:
		return min(q.enough+graceMin, max(end, q.since+q.cfg.VoteTimeout))
	}
	return end
}

// worthwhile tells whether a storage that is not hurried may yet vote.
func (q *Votes) worthwhile() bool {
	return slices.ContainsFunc(q.voters[1:], func(v voter) bool { return v.mayVote() && !v.hurried })
}

// short tells whether so many are fewer than enough.
func (q *Votes) short(agreeing int) bool { return agreeing < q.majority() || agreeing < q.cfg.Copies }

// Grace is how long a write waits for storages that are slower than its primary,
// after it has taken so long.
func Grace(taken time.Duration) time.Duration {
	return min(max(taken/4, graceMin), graceMax)
}

// decide ends the round if it can be ended.
func (q *Votes) decide(now time.Duration) {
	if q.over || q.accounting {
		return
	}
	primary := &q.voters[0]
	if !primary.waiting {
		if primary.gone {
			// ▲ quorum-fails-by-another-release, quorum-more-than-the-primary: Nothing happens that
			// the primary has not voted for. A storage that does not hear of that, since it is
			// done, has something that the primary lacks.
			q.deserted = !q.effective
			for i := range q.voters {
				v := &q.voters[i]
				q.failed = q.failed || q.deserted && (v.waiting || v.held && v.yielded) && !v.out && !v.otherRelease
				v.out = v.out || v.waiting
			}
			q.end(Abort)
			return
		}
		q.yield(now)
		return
	}
	if !q.harmless() { // ▲ quorum-held-agrees
		q.runReady(now)
	}
	agreeing, pending := q.count(primary.vote)
	if q.outvoted(primary.vote) {
		q.failed = !q.effective
		q.partWith(primary.vote)
		q.end(Abort)
		return
	}
	if q.closedAlone() { // ▲ quorum-closes-alone: a storage that could do the write does not fall behind
		q.partWith(primary.vote)
		q.end(Abort)
		return
	}
	short := q.short(agreeing)
	if !short && q.enough < 0 {
		q.enough = now
	}
	if pending > 0 && now < q.graceEnds() {
		return
	}
	if short && q.cfg.Block { // ▲ quorum-too-few
		q.blocked = true
		q.end(Abort)
		return
	}
	for i := range q.voters { // before any of them is answered
		if v := &q.voters[i]; !v.out && v.vote != primary.vote {
			v.unlike = q.unlike(v)
		}
	}
	account := Account{Short: short, Harmless: q.harmless()}
	for i := range q.voters {
		v := &q.voters[i]
		switch {
		case v.waiting && !v.out && v.vote == primary.vote: // ▲ quorum-another-release-agrees
			account.Agreeing = append(account.Agreeing, v.name)
			continue
		case v.held && account.Harmless && !v.out: // it votes for that when its turn has come
			account.Agreeing = append(account.Agreeing, v.name)
			continue
		case v.waiting:
			q.reply(v, Abort)
		case v.mayVote() && !v.hurried:
			account.Late = append(account.Late, v.name)
		}
		v.out, v.held = true, false // ▲ quorum-late-comes-back: a late storage is out before the others go on
	}
	q.accounting = true
	q.effects = append(q.effects, account)
}

// count tells how many agree with the vote, and how many may yet.
func (q *Votes) count(vote Vote) (agreeing, pending int) {
	for i := range q.voters {
		switch v := &q.voters[i]; {
		case v.out:
		case v.waiting && v.vote == vote:
			agreeing++
		case v.held && q.harmless() && vote == q.voters[0].vote:
			agreeing++
		case !v.waiting && !v.gone:
			pending++
		}
	}
	return agreeing, pending
}

// outvoted tells whether a majority agrees on something else than the primary.
func (q *Votes) outvoted(vote Vote) bool {
	for i := range q.voters {
		v := &q.voters[i]
		if !v.waiting || v.out || v.vote == vote || q.unlike(v) {
			continue
		}
		if others, _ := q.count(v.vote); others >= q.majority() {
			return true
		}
	}
	return false
}

// closedAlone tells whether the primary has cast the last vote of a call by which nothing was
// changed, as git does that could not write and has told the client so, while another storage
// is ready to make the change.
func (q *Votes) closedAlone() (alone bool) {
	primary := &q.voters[0]
	if q.effective || primary.vote.Phase != phaseCommitted {
		return false
	}
	for i := range q.voters {
		if v := &q.voters[i]; v.waiting && !v.out && v.vote.Phase != phaseCommitted {
			alone, q.failed = true, q.failed || !v.otherRelease
		}
	}
	return alone
}

// partWith leaves out the storages that do not share the primary's vote, once something may have
// happened. A storage that is told too late does not undo it: git ignores an abort of a change that
// is done, and the RPC may end well.
func (q *Votes) partWith(vote Vote) {
	if q.rounds == 0 {
		return
	}
	for i := range q.voters {
		if v := &q.voters[i]; !v.waiting || v.vote != vote {
			v.out = true
		}
	}
}

// unlike tells whether the vote of a storage cannot be compared: it runs another release
// than the primary, and no storage of the primary's release has cast the same vote. Equal
// votes are of equal changes, in any release.
func (q *Votes) unlike(v *voter) bool {
	return v.otherRelease && v.waiting && !slices.ContainsFunc(q.voters, func(o voter) bool {
		return !o.otherRelease && o.waiting && !o.out && o.vote == v.vote
	})
}

// majority is more than half of the destinations. ▲ quorum-outvoted-by-another-release: A storage
// of another release counts if it agrees or may yet: that it changes something else is not said by
// its vote, and that it changes the same is not either.
func (q *Votes) majority() int {
	n := 0
	for i := range q.voters {
		if v := &q.voters[i]; !v.otherRelease || !v.out && !v.gone && !q.unlike(v) {
			n++
		}
	}
	return n/2 + 1
}
