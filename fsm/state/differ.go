package state

import (
	"fmt"
	"slices"
)

// DifferencesKept bounds the lines about differing replicas in a history: a storage with
// another disk's content would push everything else out.
const DifferencesKept = 50

// MarkDoubt says that replicas are not as their repository's primary has it although the
// ledger has no reason for that: the verification found it while no write was under way. The
// replicas of the storages are in doubt from here on, and ResolveDoubt accounts for them. A
// statement about the primary's own replica is only noted: nothing is there to judge it by.
type MarkDoubt struct {
	Key
	// Primary is the storage that the others were compared with.
	Primary     string       `json:"primary"`
	Differences []Difference `json:"differences"`
	AsOf        Index        `json:"as_of"`
}

// Difference is the finding about one replica, for people.
type Difference struct {
	Storage string `json:"storage"`
	What    string `json:"what"`
}

func (c *MarkDoubt) invalid() string {
	var names []string
	for _, d := range c.Differences {
		names = append(names, d.Storage)
		if len(d.What) > conflictText {
			return fmt.Sprintf("a text of %d bytes: at most %d are kept", len(d.What), conflictText)
		}
		if why := badText("what differs", d.What); why != "" {
			return why
		}
	}
	if len(names) == 0 {
		return "no difference"
	}
	return firstOf(c.Key.bad(), badName("primary", c.Primary), badNames("storage", names))
}

// apply refuses a difference that the ledger explains (▲ state-differ-stale,
// state-differ-unexplained): a doubt that is there already, a storage that is behind, a write of
// another instance, or a change since the comparison began.
func (c *MarkDoubt) apply(t *transition) *Refusal {
	vs, refusal := t.quiet(c.Key, c.AsOf)
	if refusal != nil {
		return refusal
	}
	e := t.entry(c.Key).clone()
	switch primary, ok := vs.Primary(e); {
	case e.HasDoubt(), e.Advancing != "":
		return refuse(RefusedBusy, "%q in %q is in doubt already, or is being advanced", c.RelativePath, vs.Name)
	case !ok || primary.Name != c.Primary:
		return refuse(RefusedNotPrimary, "the primary of %q in %q is %q (serving: %t), not %q", c.RelativePath, vs.Name, primary.Name, ok, c.Primary)
	}
	var targets []string
	for _, d := range c.Differences {
		if !vs.serves(d.Storage, e) {
			return refuse(RefusedChanged, "%q is not in sync and serving for %q in %q", d.Storage, c.RelativePath, vs.Name)
		}
		if d.Storage != c.Primary {
			targets = append(targets, d.Storage)
		}
	}
	if len(targets) > 0 { // ▲ state-differ-forgotten: a replica that differs is in doubt, until it is repaired
		i, _ := e.find(t.proposer)
		e.Intents[i].InDoubt = &Doubt{At: t.index, Scope: Scope{Targets: targets}.normal()} // nothing of it is yet to come
	}
	t.put(c.Key, e)
	vs = t.edit(vs.Name)
	for _, d := range c.Differences {
		vs.History = slices.DeleteFunc(vs.History, oldest(vs.History))
		t.note(vs, Change{What: ChangeDiffers, Storage: d.Storage, RelativePath: c.RelativePath, Why: d.What})
	}
	return nil
}

// oldest tells the oldest line about a differing replica if there are enough of them.
func oldest(history []Change) func(Change) bool {
	about := func(c Change) bool { return c.What == ChangeDiffers }
	n := 0
	for _, c := range history {
		if about(c) {
			n++
		}
	}
	return func(c Change) bool {
		if n < DifferencesKept || !about(c) {
			return false
		}
		n = 0 // only the first one goes
		return true
	}
}
