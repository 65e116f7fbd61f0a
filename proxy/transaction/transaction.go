package transaction

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"praefect/fsm/state"
	"praefect/proxy/transaction/quorum"
)

// Header is the metadata key that tells a storage of the transaction of an RPC.
const Header = "gitaly-reference-transaction"

// Voter is one destination of a write.
type Voter struct {
	Storage string
	// Conn is the connection over which the write was sent, by its identity: a
	// vote counts only if it comes back over the same one.
	Conn any
	// Release is the version that the storage runs. Storages of different releases may hash the same
	// change otherwise.
	Release string
}

// Config describes a transaction.
type Config struct {
	// Keys are the repositories of the write.
	Keys []state.Key
	// Voters are its destinations, the primary first.
	Voters []Voter
	// Copies is how many must agree in all, beside a majority; Block has the write
	// aborted if too few do.
	Copies int
	Block  bool
	// Account has every storage accounted for that does not agree, before the votes of the
	// storages that agree are answered, once at a time. It must not block: the answer comes
	// through the channel, which holds 1, soon after the write has ended at the latest.
	// harmless tells that the next step changes nothing.
	Account func(agreeing []string, harmless bool) <-chan error
	// VoteTimeout and Repeatable are quorum.Config's; the sender of the calls asks Turn, and tells
	// Once.
	VoteTimeout time.Duration
	Repeatable  bool
	// Lively, if set, tells whether something was heard of a storage lately. One that is
	// silent, or was late lately, is not waited for beyond the grace.
	Lively func(storage string) bool
	// Failpoint, if set, is called at each failpoint of each round: crash tests end the
	// process there. The failpoints of round n are "votes-n" (the votes that count are there),
	// "accounted-n", and "allowed-n" (they are answered).
	Failpoint func(name string)
}

// Transaction is the votes of one write. It is safe for concurrent use.
type Transaction struct {
	manager *Manager
	id      uint64 // no instance of the cluster uses it again
	cfg     Config
	began   time.Duration
	ordered bool

	mu      sync.Mutex
	votes   *quorum.Votes
	waiting map[string]func(quorum.Answer) // take the answers to votes; guarded by mu
	decided []decided                      // answers that unlock gives; guarded by mu
	turns   map[string]chan bool           // hold 1; guarded by mu
	voted   time.Duration                  // when the last vote was cast; guarded by mu
	ended   bool                           // guarded by mu
	// timer calls tick at fires, if armed, which may be sooner than is needed; nil until it is needed.
	// guarded by mu
	timer *time.Timer
	fires time.Duration
	armed bool
	// hurried and contended tell the state that the other writes were told; guarded by mu.
	hurried, contended bool
	lines              []func() // let others pass; guarded by Manager.mu
}

// Metadata is the value of Header for one of the voters.
func (t *Transaction) Metadata(storage string) string {
	text, err := json.Marshal(struct {
		ID      uint64 `json:"id"`
		Node    string `json:"node"`
		Primary bool   `json:"primary"`
	}{t.id, storage, storage == t.cfg.Voters[0].Storage})
	if err != nil {
		panic(err) // there is nothing in it that could not be encoded
	}
	return base64.StdEncoding.EncodeToString(text)
}

// Ended says that the RPC of a voter has ended, with status OK or not.
func (t *Transaction) Ended(storage string, well bool) {
	t.step(func(now time.Duration) []quorum.Effect { return t.votes.Ended(now, storage, well) })
}

// Leave says that a voter casts no more votes.
func (t *Transaction) Leave(storage string) {
	t.step(func(now time.Duration) []quorum.Effect { return t.votes.Leave(now, storage) })
}

// Result is the outcome of the votes of a write.
type Result struct {
	// Agreed are the storages that have done the same as the primary in every round; it is
	// one of them; none if no vote was allowed.
	Agreed []string
	// Committed are the storages of which a vote was allowed: no other can have changed
	// anything.
	Committed []string
	// Stopped tells that the primary has decided that nothing is to be changed after
	// all, as a hook of the repository refused it.
	Stopped bool
	// Blocked tells that the write was aborted because fewer agreed than are enough.
	Blocked bool
	// PrimaryFailed tells that other storages voted for a change that the primary did not make.
	PrimaryFailed bool
	// Unlike are the storages that were left out because the votes of their release cannot be
	// compared with votes of the primary's.
	Unlike []string
	// Voted tells that a storage has cast a vote; Rounds is how many were allowed.
	Voted  bool
	Rounds int
}

// Useless are the storages that are left out and have changed nothing: how their RPCs end
// tells nothing more.
func (t *Transaction) Useless() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.votes.Useless()
}

// Forget says that no storage has an RPC of the write any more, none that could vote.
// Until then a vote is answered with abort: a storage that heard nothing would keep
// its locks.
func (t *Transaction) Forget() {
	t.manager.forget(t)
}

// End ends the transaction: from here on no vote is answered with a commit. It does
// not wait.
func (t *Transaction) End() Result {
	t.manager.leave(t)
	t.mu.Lock()
	stopped := t.votes.Halted()
	t.carryOut(t.votes.Abort())
	t.ended = true
	if t.timer != nil {
		t.timer.Stop()
	}
	result := Result{Agreed: t.votes.Agreed(), Committed: t.votes.Committed(), Stopped: stopped, Blocked: t.votes.Blocked(),
		PrimaryFailed: t.votes.PrimaryFailed(), Unlike: t.votes.Unlike(),
		Voted: t.votes.Voted(), Rounds: t.votes.Rounds()}
	t.manager.metrics.repeats(t.votes, t.cfg.Keys[0].VirtualStorage, t.cfg.Voters)
	t.unlock()
	t.manager.metrics.rounds.Observe(float64(result.Rounds))
	t.manager.metrics.unlike.Add(float64(len(result.Unlike)))
	return result
}

// cast casts a vote. answered is called once, without a lock, unless the vote is not accepted.
func (t *Transaction) cast(storage string, vote quorum.Vote, answered func(quorum.Answer)) (accepted bool) {
	due := t.advance(func(now time.Duration) []quorum.Effect {
		if t.ended {
			t.decided = append(t.decided, decided{answered, quorum.Abort})
			accepted = true
			return nil
		}
		if _, twice := t.waiting[storage]; twice {
			return nil
		}
		t.waiting[storage] = answered
		t.voted = now
		var effects []quorum.Effect
		if effects, accepted = t.votes.Cast(now, storage, vote); !accepted {
			delete(t.waiting, storage)
		}
		return effects
	})
	if !accepted {
		return false
	}
	t.manager.contend(t)
	t.manager.orders(t)
	if due.ok { // no other goroutine has to wake up for the account
		t.account(due)
	}
	return true
}

func (t *Transaction) halt(storage string) {
	t.step(func(now time.Duration) []quorum.Effect { return t.votes.Halt(now, storage) })
}

// abort ends all hopes of the write.
func (t *Transaction) abort() {
	t.step(func(time.Duration) []quorum.Effect { return t.votes.Abort() })
}

// yield has the write give up the locks that its primary lacks, and reports whether it can.
func (t *Transaction) yield() (ok bool) {
	t.step(func(now time.Duration) []quorum.Effect {
		var effects []quorum.Effect
		effects, ok = t.votes.Yield(now)
		return effects
	})
	return ok
}

// account is an account that is due, if ok.
type account struct {
	ok       bool
	round    int
	agreeing []string
	harmless bool
}

// step lets the votes know of something and carries out the effects.
func (t *Transaction) step(event func(now time.Duration) []quorum.Effect) {
	if due := t.advance(event); due.ok {
		go t.account(due) // counted in Manager.accounts; the caller may have locks that Config.Account needs
	}
}

// advance is step without the account that is due: the caller calls account.
func (t *Transaction) advance(event func(now time.Duration) []quorum.Effect) (due account) {
	t.mu.Lock()
	defer t.unlock()
	now := t.manager.now()
	due = t.carryOut(event(now))
	t.arm(now)
	return due
}

// arm sees to a tick in time. A timer that fires sooner is left as it is, because most
// writes end before it fires. Caller holds mu.
func (t *Transaction) arm(now time.Duration) {
	at, ok := t.votes.Next()
	if t.ended || !ok || t.armed && t.fires <= at {
		return
	}
	t.armed, t.fires = true, at
	if t.timer == nil {
		t.timer = time.AfterFunc(at-now, t.tick)
	} else {
		t.timer.Reset(at - now)
	}
}

// early tells that the timer fired before there was anything to look at, and sees to the next tick.
// Caller holds mu.
func (t *Transaction) early() bool {
	t.armed = false
	now := t.manager.now()
	at, ok := t.votes.Next()
	if !t.ended && ok && at <= now {
		return false
	}
	t.arm(now)
	return true
}

// tick lets time pass, and looks at the storages that are waited for.
func (t *Transaction) tick() {
	t.mu.Lock()
	if t.early() {
		t.mu.Unlock()
		return
	}
	awaited := t.votes.Awaited()
	t.mu.Unlock()
	for _, name := range awaited {
		hurried := t.cfg.Lively != nil && !t.cfg.Lively(name) || t.manager.wasLate(t.cfg.Keys[0].VirtualStorage, name)
		t.step(func(now time.Duration) []quorum.Effect { return t.votes.Hurry(now, name, hurried) })
	}
	t.step(t.votes.Tick)
	t.manager.orders(t)
}

// carryOut carries out the effects of the votes, but for the account that may be due. Caller holds mu.
func (t *Transaction) carryOut(effects []quorum.Effect) (due account) {
	for _, effect := range effects {
		switch e := effect.(type) {
		case quorum.Reply:
			t.manager.metrics.answer(e.Answer)
			if answered := t.waiting[e.Voter]; answered != nil {
				delete(t.waiting, e.Voter)
				t.decided = append(t.decided, decided{answered, e.Answer})
			}
		case quorum.Run:
			t.turned(e.Voter, true)
		case quorum.Idle:
			t.turned(e.Voter, false)
		case quorum.Account:
			if e.Short {
				t.manager.metrics.short.Inc()
			}
			t.manager.late(t.cfg.Keys[0].VirtualStorage, e.Late)
			t.manager.accounts.Add(1) // until allow has returned
			due = account{ok: true, round: t.votes.Rounds() + 1, agreeing: e.Agreeing, harmless: e.Harmless}
		}
	}
	return due
}

// decided is the answer to a vote.
type decided struct {
	answered func(quorum.Answer)
	answer   quorum.Answer
}

// unlock unlocks mu, and answers the votes that are decided.
func (t *Transaction) unlock() {
	all := t.decided
	t.decided = nil
	t.mu.Unlock()
	for _, d := range all {
		d.answered(d.answer)
	}
}

// account has the storages accounted for that do not agree, and then the votes of the others
// answered. It does not wait.
func (t *Transaction) account(due account) {
	t.reached("votes", due.round)
	allowed := t.cfg.Account(due.agreeing, due.harmless)
	select {
	case err := <-allowed:
		t.allow(due, err)
	default:
		go func() { t.allow(due, <-allowed) }() // counted in Manager.accounts
	}
}

// allow has the votes of the storages that agree answered, because the others are accounted for,
// or err says why they are not.
func (t *Transaction) allow(due account, err error) {
	defer t.manager.accounts.Done()
	if err != nil {
		t.manager.log.Debug("votes are not allowed", "transaction", t.id, "err", err)
	}
	t.reached("accounted", due.round)
	t.step(func(now time.Duration) []quorum.Effect { return t.votes.Allowed(now, err == nil) })
	t.reached("allowed", due.round)
}

func (t *Transaction) reached(step string, round int) {
	if t.cfg.Failpoint != nil {
		t.cfg.Failpoint(fmt.Sprintf("%s-%d", step, round))
	}
}
