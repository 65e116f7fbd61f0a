package ballot

import "time"

// The bounds of the grace.
const (
	graceMin = time.Second
	graceMax = 30 * time.Second
)

// grace is how long the others may take after the primary has voted.
func (b *Ballot) grace() time.Duration { return Grace(b.since - b.cfg.Began) }

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
	switch {
	case b.outvoted(primary.vote):
		b.failed = !b.effective
		b.partWith(primary.vote)
		b.end(Abort)
		return
	case pending > 0 && now < b.since+b.grace():
		return
	}
	short := agreeing < b.majority() || agreeing < b.cfg.Copies
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
