package ballot

import (
	"slices"
	"time"
)

// The bounds of the grace.
const (
	graceMin = time.Second
	graceMax = 30 * time.Second
)

// Patience is the default of Config.Patience. It is longer than git waits for a lock (1 s
// for that of a reference, 10 s for that of packed-refs), and than it takes to notice a
// storage that hangs.
const Patience = 12 * time.Second

// lookAgain is how often Hurry is asked for.
const lookAgain = 250 * time.Millisecond

// graceEnds is when storages that have not voted are left out. A storage that lives is
// waited for longer: a lock of git or a short pause must not cost a copy, because the
// repair would cost more. So is one that is hurried, if the write would be acknowledged
// with too few copies. Where that was in vain for none but the slowest, it gets a moment
// more: what kept one kept the others.
func (b *Ballot) graceEnds() time.Duration {
	end := b.since + Grace(b.since-b.cfg.Began)
	agreeing, _ := b.count(b.voters[0].vote)
	switch {
	case b.short(agreeing), b.worthwhile():
		return max(end, b.since+b.cfg.Patience)
	case b.enough > end:
		return min(b.enough+graceMin, max(end, b.since+b.cfg.Patience))
	}
	return end
}

// worthwhile tells whether a storage that is not hurried may yet vote.
func (b *Ballot) worthwhile() bool {
	return slices.ContainsFunc(b.voters[1:], func(v voter) bool { return v.mayVote() && !v.hurried })
}

// short tells whether so many are fewer than enough.
func (b *Ballot) short(agreeing int) bool { return agreeing < b.majority() || agreeing < b.cfg.Copies }

// Grace is how long a write waits for storages that are slower than its primary,
// after it has taken so long.
func Grace(taken time.Duration) time.Duration {
	return min(max(taken/4, graceMin), graceMax)
}

// decide ends the round if it can be ended.
func (b *Ballot) decide(now time.Duration) {
	if b.over || b.accounting {
		return
	}
	primary := &b.voters[0]
	if !primary.waiting {
		if primary.gone {
			// ▲ Nothing happens that the primary has not voted for. A storage that does not
			// hear of that, since it is done, has something that the primary lacks.
			b.deserted = !b.effective
			for i := range b.voters {
				b.failed = b.failed || b.deserted && b.voters[i].waiting && !b.voters[i].out
				b.voters[i].out = b.voters[i].out || b.voters[i].waiting
			}
			b.end(Abort)
		}
		return
	}
	agreeing, pending := b.count(primary.vote)
	if b.outvoted(primary.vote) {
		b.failed = !b.effective
		b.partWith(primary.vote)
		b.end(Abort)
		return
	}
	short := b.short(agreeing)
	if !short && b.enough < 0 {
		b.enough = now
	}
	if pending > 0 && now < b.graceEnds() {
		return
	}
	if short && b.cfg.Block {
		b.blocked = true
		b.end(Abort)
		return
	}
	account := Account{Short: short, Harmless: b.harmless()}
	for i := range b.voters {
		v := &b.voters[i]
		switch {
		case v.waiting && !v.out && v.vote == primary.vote:
			account.Agreeing = append(account.Agreeing, v.name)
			continue
		case v.waiting:
			b.reply(v, Abort)
		case v.mayVote() && !v.hurried:
			account.Late = append(account.Late, v.name)
		}
		v.out = true // ▲ whoever is late is out before the others go on
	}
	b.accounting = true
	b.effects = append(b.effects, account)
}

// count tells how many agree with the vote, and how many may yet.
func (b *Ballot) count(vote Vote) (agreeing, pending int) {
	for i := range b.voters {
		switch v := &b.voters[i]; {
		case v.out:
		case v.waiting && v.vote == vote:
			agreeing++
		case !v.waiting && !v.gone:
			pending++
		}
	}
	return agreeing, pending
}

// outvoted tells whether a majority agrees on something else than the primary.
func (b *Ballot) outvoted(vote Vote) bool {
	for i := range b.voters {
		v := &b.voters[i]
		if !v.waiting || v.out || v.vote == vote {
			continue
		}
		if others, _ := b.count(v.vote); others >= b.majority() {
			return true
		}
	}
	return false
}

// partWith leaves out who does not share the primary's vote, once something may have
// happened. A storage that is told too late does not undo it: git does not hear an
// abort of what is done, and the RPC may end well.
func (b *Ballot) partWith(vote Vote) {
	if b.rounds == 0 {
		return
	}
	for i := range b.voters {
		if v := &b.voters[i]; !v.waiting || v.vote != vote {
			v.out = true
		}
	}
}

func (b *Ballot) majority() int { return len(b.voters)/2 + 1 }
