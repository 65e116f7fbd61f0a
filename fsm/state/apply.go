package state

import (
	"fmt"
	"slices"

	iradix "github.com/hashicorp/go-immutable-radix/v2"
)

// Apply returns the state after the batch, which is the log's entry at index,
// and one result for each of its commands. The receiver stays as it is; the returned
// values must not be changed. An index that does not rise is a broken
// log and panics.
//
//   - A batch whose request id is remembered gets the remembered results and
//     changes nothing but Index.
//   - A batch of an incarnation that is not live is refused as a whole, except
//     for a Register.
//   - A batch that needs a higher feature level than that of the state is refused
//     as a whole.
//   - A batch that names another term than that of its entry is refused as a whole.
//   - The ledger commands of a batch whose number does not rise within its
//     incarnation are refused.
func (s *State) Apply(index Index, b Batch) (*State, []Result) {
	if index <= s.Index {
		panic(fmt.Sprintf("state: entry %d applied after entry %d", index, s.Index))
	}
	t := s.begin(index, b)
	t.carryOut()
	if a := s.answers.find(b.RequestID); a != nil {
		return t.end(), a.Results
	}
	stale := t.claimNumber(b)
	results := make([]Result, len(b.Commands))
	for i := range b.Commands {
		if level := s.FeatureLevel(); b.Version > level { // ▲ TestApply_aboveTheLevel: a member may not know it
			results[i] = Result{Index: index, Refusal: refuse(RefusedLevel, "the batch needs feature level %d, the cluster is at %d", b.Version, level)}
			continue
		}
		if b.Term != 0 && b.Term != b.EntryTerm {
			results[i] = Result{Index: index, Refusal: refuse(RefusedTerm, "decided in term %d, proposed in term %d", b.Term, b.EntryTerm)}
			continue
		}
		results[i] = t.apply(b.Commands[i].one(), stale)
	}
	if b.RequestID != "" {
		t.next.answers = s.answers.add(&answer{RequestID: b.RequestID, Index: index, Results: results})
	}
	return t.end(), results
}

// command is the interface that each of the commands in a Command implements.
type command interface {
	// invalid tells how the command contradicts itself, "" if it does not. It
	// needs no state, so that a proposer can ask before any instance applies.
	invalid() string
	// apply changes the state or tells why not; then it has changed nothing.
	apply(*transition) *Refusal
}

// touchesLedger tells the commands that a number orders.
func touchesLedger(c command) bool {
	switch c.(type) {
	case *OpenIntent, *CloseIntent, *MarkBehind, *MarkInSync, *ResolveDoubt, *AcceptLoss,
		*Advance, *EndAdvance, *MarkConflict, *MarkDoubt, *Remake, *StepDown, *Wish:
		return true
	}
	return false
}

// transition is one Apply under way: the next state, which shares with the
// former one all that did not change.
type transition struct {
	index    Index
	time     int64
	proposer Incarnation
	next     State
	ledger   *iradix.Txn[*Entry]
	tally    counter
	// touched are the keys of the entries that were put.
	touched [][]byte
}

func (s *State) begin(index Index, b Batch) *transition {
	t := &transition{index: index, time: b.Time, proposer: b.Incarnation, next: *s}
	t.next.Index = index
	if t.next.ledger == nil {
		t.next.ledger = iradix.New[*Entry]()
	}
	t.ledger, t.tally = t.next.ledger.Txn(), t.next.tally.change()
	return t
}

func (t *transition) end() *State {
	t.next.ledger, t.next.tally = t.ledger.Commit(), t.tally.end()
	return &t.next
}

// claimNumber notes the number of a batch with ledger commands and reports
// whether it is stale: not higher than the last one of its incarnation.
func (t *transition) claimNumber(b Batch) (stale bool) {
	in := t.next.Instance(b.Incarnation)
	ordered := slices.ContainsFunc(b.Commands, func(c Command) bool { return touchesLedger(c.one()) })
	if in == nil || !ordered {
		return false
	}
	if b.Number <= in.Number {
		return true
	}
	t.next.Instances = slices.Clone(t.next.Instances)
	t.next.Instance(b.Incarnation).Number = b.Number
	return false
}

func (t *transition) apply(c command, stale bool) Result {
	r := Result{Index: t.index, Refusal: t.tryApply(c, stale)}
	if _, ok := c.(*Register); ok && r.Refusal == nil {
		r.Incarnation = Incarnation(t.index)
	}
	return r
}

func (t *transition) tryApply(c command, stale bool) *Refusal {
	if c == nil {
		return refuse(RefusedInvalid, "a command has exactly one field set")
	}
	if _, ok := c.(*Register); !ok && t.next.Instance(t.proposer) == nil { // ▲ state-retired-commands
		return refuse(RefusedRetired, "incarnation %d is not live", t.proposer)
	}
	if stale && touchesLedger(c) { // ▲ state-stale-number
		return refuse(RefusedOutOfOrder, "incarnation %d has had a later batch applied", t.proposer)
	}
	if why := c.invalid(); why != "" {
		return refuse(RefusedInvalid, "%s", why)
	}
	return c.apply(t)
}

func refuse(why Reason, format string, args ...any) *Refusal {
	return &Refusal{Reason: why, Detail: fmt.Sprintf(format, args...)}
}

// entry returns the entry as this batch has left it, nil for a clean
// repository.
func (t *transition) entry(k Key) *Entry {
	e, _ := t.ledger.Get(k.appendTo(nil))
	return t.next.sweeps.through(k.VirtualStorage, e)
}

// put replaces the entry and notes that this command touched it. One that says
// nothing any more is removed: Deleted alone tells nothing, as no storage is
// behind.
func (t *transition) put(k Key, e *Entry) {
	key, before := k.appendTo(nil), t.entry(k)
	t.touched = append(t.touched, key)
	t.next.wishes = noteWish(t.next.wishes, k, before, e)
	if e.isEmpty() {
		t.next.wishes = noteWish(t.next.wishes, k, e, nil)
		t.tally.replace(k.VirtualStorage, before, nil)
		t.ledger.Delete(key)
		return
	}
	t.tally.replace(k.VirtualStorage, before, e)
	if t.shrinks(k.VirtualStorage, before, e) {
		e.shrunk = t.index
	}
	e.Changed = t.index
	t.ledger.Insert(key, e)
}

// isEmpty reports whether the entry says nothing.
func (e *Entry) isEmpty() bool {
	return len(e.Intents) == 0 && len(e.Behind) == 0 && e.Advancing == ""
}

// shrinks reports whether the change takes a storage out of the repository's
// in-sync set: a storage that is neither serving nor fenced is not in it anyway.
func (t *transition) shrinks(vs string, before, after *Entry) bool {
	v := t.next.VirtualStorage(vs)
	return slices.ContainsFunc(after.Behind, func(name string) bool {
		return !before.IsBehind(name) && v.Storage(name).holds()
	})
}

// each is State.Each as this batch has left the ledger; fn must not change it.
func (t *transition) each(vs string, fn func(Key, *Entry) bool) {
	(&State{ledger: t.ledger.Commit(), sweeps: t.next.sweeps}).Each(vs, fn)
}

// count is State.Count as this batch has left the ledger.
func (t *transition) count(vs string, is func(*Entry) bool) int {
	return (&State{tally: t.tally.end()}).Count(vs, is)
}

// rewrite puts the result of fn for each entry of the virtual storage (of all when
// vs is empty); nil leaves the entry untouched.
func (t *transition) rewrite(vs string, fn func(*Entry) *Entry) {
	type changed struct {
		key   Key
		entry *Entry
	}
	var all []changed
	t.each(vs, func(k Key, e *Entry) bool {
		if c := fn(e); c != nil {
			all = append(all, changed{k, c})
		}
		return true
	})
	for _, c := range all {
		t.put(c.key, c.entry)
	}
}

// clone returns a copy to be changed, an empty one for a clean repository.
// The values that intents point to are shared: they are replaced, never changed.
func (e *Entry) clone() *Entry {
	if e == nil {
		return &Entry{}
	}
	c := *e
	c.Intents = slices.Clone(e.Intents)
	c.Behind = slices.Clone(e.Behind)
	return &c
}
