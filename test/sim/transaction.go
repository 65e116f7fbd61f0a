package sim

import (
	"maps"
	"slices"
	"time"

	"praefect/proxy/ledger/machine"
	"praefect/proxy/transaction/quorum"
)

// contention is how long two writes may wait for each other.
const contention = 100 * time.Millisecond

// refused is the answer to a storage that has no vote.
const refused quorum.Answer = -1

// transaction is the votes of one write, as package transaction keeps them for an
// instance.
type transaction struct {
	d       *driver
	id      uint64
	write   machine.ID
	request *request
	voters  []voter // the primary first
	votes   *quorum.Votes
	waiting map[string]func(quorum.Answer)
	ended   bool
	ordered bool
	turned  func(storage string, run bool) // the call of a storage is sent again, or not
	ticks   uint64                         // counts timers, so that an old one finds itself replaced

	agreeing   []string         // of the Account under way
	throughout []string         // the storages that agreed in every round that was allowed
	leads      string           // the repository's primary when votes were allowed
	epoch      uint64           // by the view of the first one
	stopped    bool             // the primary has said so
	committed  []string         // the storages that were told to commit, and may have changed something then
	closed     bool             // the primary has cast the last vote of a call that changed nothing
	able       []string         // the storages that have voted otherwise
	phases     map[string]int32 // of the last vote of each
	changing   []string         // the storages that were told to go on with a change
	allowedAt  time.Duration    // the last round, true time; 0: none was
}

// voter is one destination; its votes count over the connection that the call
// was sent over.
type voter struct {
	storage string
	conn    *conn
}

// beginVotes begins a transaction.
func (d *driver) beginVotes(r *request, f machine.Forward, voters []voter) *transaction {
	s := &d.in.w.setup
	tx := &transaction{d: d, write: f.Write, request: r, voters: voters, waiting: make(map[string]func(quorum.Answer)), phases: make(map[string]int32)}
	var names []string
	var otherRelease []string
	for _, v := range voters {
		names = append(names, v.storage)
		if d.in.w.storage(v.storage).newer != d.in.w.storage(voters[0].storage).newer {
			otherRelease = append(otherRelease, v.storage)
		}
	}
	// Locks are waited for where storages are patient.
	tx.ordered = s.patient && r.ops[0]%3 == 0
	tx.votes = quorum.New(quorum.Config{Voters: names, OtherRelease: otherRelease, Copies: min(s.copies, s.storages), Block: s.block, Began: d.in.now(),
		VoteTimeout: time.Second, // a schedule is short
		Repeatable:  s.patient, Ordered: tx.ordered})
	d.lastVotes++
	tx.id = uint64(d.inc)<<32 | uint64(d.lastVotes)
	d.votes = append(d.votes, tx)
	d.in.w.check.contenders(tx)
	return tx
}

func (tx *transaction) primary() string { return tx.voters[0].storage }

// of finds the transaction in which a storage has a vote over a connection.
func (d *driver) of(id uint64, storage string, conn *conn) *transaction {
	for _, tx := range d.votes {
		if tx.id == id && slices.Contains(tx.voters, voter{storage, conn}) {
			return tx
		}
	}
	return nil
}

// cast takes a vote of a call that came over a connection, and answers it, now or
// later.
func (d *driver) cast(id uint64, from *running, s *storage, over *conn, vote quorum.Vote, answer func(quorum.Answer)) {
	tx := d.of(id, s.name, over)
	if tx == nil {
		d.in.w.cov.RefusedVotes++
		answer(refused)
		return
	}
	if tx.waiting[s.name] != nil {
		answer(quorum.Abort)
		return
	}
	if tx.votes.Rounds() > 0 && !slices.Contains(tx.votes.Agreed(), s.name) {
		d.in.w.cov.LateVotes++
	}
	tx.waiting[s.name] = answer
	tx.closes(s.name, vote)
	accepted := false
	tx.step(func(now time.Duration) (effects []quorum.Effect) {
		effects, accepted = tx.votes.Cast(now, s.name, vote)
		return effects
	})
	if !accepted {
		delete(tx.waiting, s.name)
		answer(quorum.Abort)
		return
	}
	if tx.waiting[s.name] != nil { // it was taken for one that may count
		d.in.w.check.counts(tx, from, s, over)
	}
	d.contend(tx)
}

// halt takes a storage's word that nothing is to be changed after all.
func (d *driver) halt(id uint64, s *storage, over *conn) {
	if tx := d.of(id, s.name, over); tx != nil {
		tx.stopped = tx.stopped || s.name == tx.primary()
		d.in.w.cov.Halts++
		tx.step(func(now time.Duration) []quorum.Effect { return tx.votes.Halt(now, s.name) })
	}
}

// ready says that the call of a storage can be sent.
func (tx *transaction) ready(storage string) {
	if tx.ended {
		tx.turned(storage, false)
		return
	}
	tx.step(func(now time.Duration) []quorum.Effect { return tx.votes.Ready(now, storage) })
}

// leave says that a storage casts no more votes.
func (tx *transaction) leave(storage string) {
	tx.step(func(now time.Duration) []quorum.Effect { return tx.votes.Leave(now, storage) })
}

// end has no vote answered with a commit from here on.
func (tx *transaction) end() (agreed []string) {
	tx.d.votes = slices.DeleteFunc(tx.d.votes, func(o *transaction) bool { return o == tx })
	tx.carryOut(tx.votes.Abort())
	tx.ended = true
	tx.d.in.w.cov.UnlikeVotes += len(tx.votes.Unlike())
	return tx.votes.Agreed()
}

// allowed answers the Account under way.
func (tx *transaction) allowed(err error) {
	tx.d.in.soon(func() {
		tx.step(func(now time.Duration) []quorum.Effect { return tx.votes.Allowed(now, err == nil) })
	})
}

func (tx *transaction) step(event func(now time.Duration) []quorum.Effect) {
	in := tx.d.in
	tx.carryOut(event(in.now()))
	tx.ticks++
	ticks := tx.ticks
	if at, ok := tx.votes.Next(); ok && !tx.ended {
		in.after(max(0, at-in.now()), func() {
			if tx.ticks == ticks && !tx.ended {
				tx.step(tx.votes.Tick)
			}
		})
	}
}

func (tx *transaction) carryOut(effects []quorum.Effect) {
	in, cov := tx.d.in, tx.d.in.w.cov
	aborts, waited := 0, maps.Clone(tx.waiting)
	for _, effect := range slices.Clone(effects) {
		switch e := effect.(type) {
		case quorum.Reply:
			answer := tx.waiting[e.Voter]
			delete(tx.waiting, e.Voter)
			if answer == nil {
				continue
			}
			switch e.Answer {
			case quorum.Commit:
				in.w.check.commits(tx)
				if slices.Contains(tx.votes.Committed(), e.Voter) {
					tx.committed = append(tx.committed, e.Voter)
				}
				in.w.check.mayChange(tx, e.Voter)
			case quorum.Abort:
				aborts++
				d := tx.d
				if e.Voter == tx.primary() && !tx.ended && d.in.w.storage(e.Voter).up {
					cov.AbortedRounds++
				}
			}
			in.w.tracef("%s: op %d: %s is told to %s", in.name, tx.request.ops, e.Voter, e.Answer)
			// A process that is paused here sends late an answer that it had decided before.
			if !in.w.quiet && in.w.chance(in.w.setup.clumsy) {
				in.w.stopFor(in.process, in.w.between(0, longestPause))
			}
			in.soon(func() { answer(e.Answer) })
		case quorum.Run:
			in.soon(func() { tx.turned(e.Voter, true) })
		case quorum.Idle:
			in.soon(func() { tx.turned(e.Voter, false) })
		case quorum.Account:
			cov.DisagreeingVotes += aborts
			if e.Short {
				cov.ShortRounds++
			}
			in.w.check.closedAlone(tx, waited, e.Agreeing)
			in.soon(func() { tx.account(e.Agreeing, e.Harmless) })
		}
	}
}

// account has every storage accounted for that does not agree.
func (tx *transaction) account(agreeing []string, harmless bool) {
	p := tx.d.writes[tx.write]
	if p == nil || p.votes != tx {
		tx.allowed(machine.ErrEnded) // it has ended, or goes another way
		return
	}
	tx.agreeing, p.voting = agreeing, tx
	tx.d.step(machine.Vote{Write: tx.write, Agreeing: agreeing, Harmless: harmless})
}

// contend has the younger of two writes aborted that wait for each other, if that
// lasts.
func (d *driver) contend(tx *transaction) {
	for _, other := range d.votes {
		if other == tx || !other.request.touches(tx.request) || !quorum.Contend(tx.votes, other.votes) {
			continue
		}
		older, younger := other, tx
		if older.id > younger.id {
			older, younger = younger, older
		}
		d.in.after(contention, func() {
			if !older.ended && !younger.ended && quorum.Contend(older.votes, younger.votes) {
				d.in.w.cov.Contentions += btoi(older.waitsFor(younger) && younger.waitsFor(older))
				if younger.yield() || older.yield() {
					return
				}
				younger.step(func(time.Duration) []quorum.Effect { return younger.votes.Abort() })
			}
		})
	}
}

// yield has the write give up the locks that its primary lacks, if it can.
func (tx *transaction) yield() (ok bool) {
	tx.step(func(now time.Duration) []quorum.Effect {
		var effects []quorum.Effect
		effects, ok = tx.votes.Yield(now)
		return effects
	})
	return ok
}

// waitsFor reports whether a write waits at some storage for a ref that another has locked.
func (tx *transaction) waitsFor(other *transaction) bool {
	return slices.ContainsFunc(tx.d.in.w.storages, func(s *storage) bool { return s.inTheWay(tx, other) })
}

// touches reports whether two requests share a repository.
func (r *request) touches(o *request) bool {
	return r.path == o.path || r.pool != "" && (r.pool == o.path || r.pool == o.pool) || o.pool != "" && o.pool == r.path
}
