package state

import (
	"fmt"
	"slices"
	"strings"
)

// Uncompared says how much the replicas count that a backfilling storage came
// with. It is empty once each of them was compared with the serving ones.
type Uncompared string

const (
	// UncomparedFounding: the storage was defined together with its virtual
	// storage. Its replicas count as much as the first storage's.
	UncomparedFounding Uncompared = "founding"
	// UncomparedLater: the storage was added later, or has another disk. It may
	// have missed any number of acknowledged writes and deletes.
	UncomparedLater Uncompared = "later"
)

// ConflictSample bounds the references that a Conflict names.
const ConflictSample = 8

// conflictText bounds each text of a Conflict in bytes.
const conflictText = 256

// Conflict says that a storage has values of references that the repository's
// primary does not contain. Nothing is copied onto that replica, and nothing
// removes it, until AcceptLoss says which storage counts. The texts are for
// people, as they were when the replicas were compared.
type Conflict struct {
	Storage string `json:"storage"`
	// Primary is the storage that it was compared with.
	Primary string `json:"primary"`
	// Time is when they were compared, Unix milliseconds.
	Time int64 `json:"time"`
	// Differing counts the references that differ; Sample names the first of them.
	Differing int                  `json:"differing"`
	Sample    []DifferingReference `json:"sample,omitempty"`
	Here      ConflictSide         `json:"here"`  // on Primary
	There     ConflictSide         `json:"there"` // on Storage
}

// DifferingReference is a reference with its two values, empty where it is
// absent.
type DifferingReference struct {
	Name  string `json:"name"`
	Here  string `json:"here,omitempty"`
	There string `json:"there,omitempty"`
}

// ConflictSide describes one of two replicas in conflict.
type ConflictSide struct {
	// Absent tells that the storage does not have the repository.
	Absent bool `json:"absent,omitempty"`
	// Commit is the newest commit of any reference, and Time its committer's time
	// in Unix seconds.
	Commit string `json:"commit,omitempty"`
	Time   int64  `json:"time,omitempty"`
}

// Compared says that every replica on an uncompared storage is either contained
// in the primary's or in conflict. From here on the storage's replicas may be
// overwritten, except for the conflicts.
type Compared struct {
	VirtualStorage string `json:"virtual_storage"`
	Storage        string `json:"storage"`
	// Since names the backfill: it is Storage.Since.
	Since Index `json:"since"`
}

// Advance gives a clean repository's primary the role of a target: writes of
// the repository wait until EndAdvance while the replica of Source, a founding
// storage, is copied onto it. The source contains everything that the primary
// has, so that reads go on. It opens the proposer's primary-only intent with Scope.
//
// It is refused for a repository that was written since the storage was defined:
// the part that the source has beyond the primary could be one that a client removed. An
// advance that was interrupted is taken up by another one, without a source.
type Advance struct {
	Key
	Source string `json:"source,omitempty"`
	Scope
}

// EndAdvance ends an Advance, no matter how much was copied: the primary's replica
// counts. It accounts for every storage as ResolveDoubt does, but for uncompared ones,
// which stay as they are.
type EndAdvance struct {
	Key
	// Primary is the repository's first in-sync storage.
	Primary string `json:"primary"`
	// Equal are the storages that were compared with it and found equal.
	Equal []string `json:"equal,omitempty"`
	// Doubts are the in-doubt intents of advances that were interrupted.
	Doubts []DoubtRef `json:"doubts,omitempty"`
	AsOf   Index      `json:"as_of"`
}

// MarkConflict makes Conflicts the conflicts of the repository. Each storage that is
// named becomes behind; one that was in conflict and is not named stays behind,
// and is repaired.
type MarkConflict struct {
	Key
	Conflicts []Conflict `json:"conflicts,omitempty"`
	AsOf      Index      `json:"as_of"`
}

func (c *Compared) invalid() string {
	return firstOf(badName("virtual storage", c.VirtualStorage), badName("storage", c.Storage))
}

func (c *Compared) apply(t *transition) *Refusal {
	vs, refusal := t.virtualStorage(c.VirtualStorage)
	if refusal != nil {
		return refusal
	}
	s, refusal := vs.storage(c.Storage)
	switch {
	case refusal != nil:
		return refusal
	case s.State != Backfilling || s.Since != c.Since:
		return refuse(RefusedChanged, "storage %q is %s since index %d", s.Name, s.State, s.Since)
	}
	t.edit(vs.Name).Storage(c.Storage).Uncompared = ""
	return nil
}

func (c *Advance) invalid() string {
	if c.BoundMillis < 0 {
		return "the bound is negative"
	}
	return firstOf(c.Key.bad(), badNames("target", c.Targets))
}

func (c *Advance) apply(t *transition) *Refusal {
	vs, refusal := t.virtualStorage(c.VirtualStorage)
	if refusal != nil {
		return refusal
	}
	e := t.entry(c.Key)
	for _, target := range c.Targets {
		if vs.Storage(target) == nil {
			return refuse(RefusedUnknown, "no storage %q in %q", target, vs.Name)
		}
	}
	if c.Source == "" {
		switch {
		case e == nil || e.Advancing == "":
			return refuse(RefusedChanged, "%q in %q is not being advanced", c.RelativePath, vs.Name)
		case e.liveBeside(t.proposer) != 0:
			return refuse(RefusedBusy, "incarnation %d advances %q in %q", e.liveBeside(t.proposer), c.RelativePath, vs.Name)
		}
		e = e.clone()
		e.openIntent(t.proposer, PrimaryOnly, c.Scope)
		t.put(c.Key, e)
		return nil
	}
	s, refusal := vs.storage(c.Source)
	if refusal != nil {
		return refusal
	}
	_, ok := vs.Primary(e)
	switch {
	case s.State != Backfilling || s.Uncompared != UncomparedFounding:
		return refuse(RefusedState, "%q was not defined together with %q, or was compared", s.Name, vs.Name)
	case e != nil: // ▲ TestAdvance_refused: the part that the primary lacks may be one that a client removed
		return refuse(RefusedChanged, "%q in %q was written since %q was defined", c.RelativePath, vs.Name, s.Name)
	case !ok:
		return refuse(RefusedNotPrimary, "%q in %q has no primary", c.RelativePath, vs.Name)
	}
	e = e.clone()
	e.Advancing = c.Source
	e.openIntent(t.proposer, PrimaryOnly, c.Scope)
	t.put(c.Key, e)
	return nil
}

func (c *EndAdvance) invalid() string {
	return firstOf(c.Key.bad(), badName("primary", c.Primary), badNames("equal storage", c.Equal), badRefs(c.Doubts))
}

func (c *EndAdvance) apply(t *transition) *Refusal {
	vs, refusal := t.quiet(c.Key, c.AsOf)
	if refusal != nil {
		return refusal
	}
	e := t.entry(c.Key).clone()
	if e.Advancing == "" {
		return refuse(RefusedChanged, "%q in %q is not being advanced", c.RelativePath, vs.Name)
	}
	for _, ref := range c.Doubts {
		if !e.resolveDoubt(ref) {
			return refuse(RefusedChanged, "incarnation %d has no in-doubt intent of index %d", ref.Incarnation, ref.At)
		}
	}
	if e.HasDoubt() {
		return refuse(RefusedChanged, "an in-doubt intent of %q in %q is not named", c.RelativePath, vs.Name)
	}
	e.Advancing = ""
	primary, ok := vs.Primary(e)
	if !ok || primary.Name != c.Primary {
		return refuse(RefusedNotPrimary, "the primary of %q in %q is %q (serving: %t), not %q", c.RelativePath, vs.Name, primary.Name, ok, c.Primary)
	}
	e.setBehind(vs.names(func(s *Storage) bool {
		switch {
		case e.IsBehind(s.Name):
			return true
		case s.Name == c.Primary || s.Uncompared != "":
			return false
		}
		return !slices.Contains(c.Equal, s.Name) || !s.holds()
	}))
	t.put(c.Key, e)
	return nil
}

func (c *MarkConflict) invalid() string {
	names := make([]string, len(c.Conflicts))
	for i := range c.Conflicts {
		names[i] = c.Conflicts[i].Storage
		if why := c.Conflicts[i].bad(); why != "" {
			return why
		}
	}
	return firstOf(c.Key.bad(), badNames("storage", names))
}

// bad describes the fault of the conflict: the log and the ledger hold it.
func (c *Conflict) bad() string {
	if len(c.Sample) > ConflictSample {
		return fmt.Sprintf("%d references are named: at most %d are", len(c.Sample), ConflictSample)
	}
	texts := []string{c.Primary, c.Here.Commit, c.There.Commit}
	for _, r := range c.Sample {
		texts = append(texts, r.Name, r.Here, r.There)
	}
	for _, text := range texts {
		if len(text) > conflictText {
			return fmt.Sprintf("a text of %d bytes: at most %d are kept", len(text), conflictText)
		}
	}
	return badText("what differs", texts...)
}

// Shorten makes a text fit into a Conflict.
func Shorten(text string) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= conflictText {
		return text
	}
	const dots = "…"
	return strings.ToValidUTF8(text[:conflictText-len(dots)], "") + dots
}

// apply replaces the conflicts. An in-sync storage is never in conflict: it has
// every acknowledged write.
func (c *MarkConflict) apply(t *transition) *Refusal {
	vs, refusal := t.quiet(c.Key, c.AsOf)
	if refusal != nil {
		return refusal
	}
	was := t.entry(c.Key)
	e := was.clone()
	var conflicts []Conflict
	for _, conflict := range c.Conflicts {
		s := vs.Storage(conflict.Storage)
		switch {
		case s == nil:
			continue // it was removed since
		case s.holds() && !e.IsBehind(s.Name):
			return refuse(RefusedState, "storage %q is in sync", s.Name)
		}
		conflicts = append(conflicts, conflict)
		e.Behind = union(e.Behind, []string{s.Name})
	}
	slices.SortFunc(conflicts, func(a, b Conflict) int { return strings.Compare(a.Storage, b.Storage) })
	e.Conflicts = conflicts
	t.put(c.Key, e)
	t.noteConflicts(vs, c.Key, was, e)
	return nil
}

// InConflict reports whether the storage's replica is in conflict: nothing is
// copied onto it, and nothing removes it.
func (e *Entry) InConflict(storage string) bool { return e.Conflict(storage) != nil }

// Conflict returns the record of the storage's conflict, nil if there is none.
func (e *Entry) Conflict(storage string) *Conflict {
	if e == nil {
		return nil
	}
	for i := range e.Conflicts {
		if e.Conflicts[i].Storage == storage {
			return &e.Conflicts[i]
		}
	}
	return nil
}

// IsAdvancing reports whether the primary is being copied onto.
func (e *Entry) IsAdvancing() bool { return e != nil && e.Advancing != "" }

// LiveBeside returns another incarnation that has a live intent, 0 if none has.
func (e *Entry) LiveBeside(inc Incarnation) Incarnation {
	if e == nil {
		return 0
	}
	return e.liveBeside(inc)
}

// liveBeside returns another incarnation that has a live intent, 0 if none has.
func (e *Entry) liveBeside(inc Incarnation) Incarnation {
	for i := range e.Intents {
		if m := &e.Intents[i]; m.Kind != "" && m.Incarnation != inc {
			return m.Incarnation
		}
	}
	return 0
}

// dropConflicts forgets the conflicts of storages whose replicas are gone. Only for
// a clone.
func (e *Entry) dropConflicts(names []string) {
	if slices.ContainsFunc(e.Conflicts, func(c Conflict) bool { return slices.Contains(names, c.Storage) }) {
		e.Conflicts = slices.DeleteFunc(slices.Clone(e.Conflicts), func(c Conflict) bool { return slices.Contains(names, c.Storage) })
	}
}

// checkConflicts checks I14: conflicts are sorted, and of storages that are behind.
func (e *Entry) checkConflicts() error {
	if !rising(e.Conflicts, func(c Conflict) string { return c.Storage }) {
		return fmt.Errorf("conflicts are not sorted")
	}
	for i := range e.Conflicts {
		if c := &e.Conflicts[i]; !e.IsBehind(c.Storage) {
			return fmt.Errorf("%q is in conflict and not behind", c.Storage)
		} else if why := c.bad(); why != "" {
			return fmt.Errorf("conflict of %q: %s", c.Storage, why)
		}
	}
	return nil
}
