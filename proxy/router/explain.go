package router

import (
	"slices"

	"praefect/fsm/state"
)

// Rule says which storages a read may go to.
type Rule string

// The rules of reads.
const (
	// AnyInSync: every storage that is in sync has the same content.
	AnyInSync Rule = "any-in-sync"
	// PrimaryOnly: the client or the method asks for the primary, or a write that only
	// the primary executes may be under way.
	PrimaryOnly Rule = "primary-only"
	// PrimaryFirst: replicas may differ in writes that were never acknowledged. All readers use the
	// primary as long as it can be reached.
	PrimaryFirst Rule = "primary-first"
)

// Explanation tells where the reads and writes of one repository go.
type Explanation struct {
	// Reads are the storages that a read may go to. A later one is tried if the former ones fail;
	// of AnyInSync the order is that of the load.
	Reads []string
	Rule  Rule
	// ReadRefused is why a read goes nowhere, nil if Reads has a storage.
	ReadRefused error
	// Write is where a write goes unless WriteRefused says why it goes nowhere.
	Write        Write
	WriteRefused error
}

// Explain routes a read until no storage is left, and a write. It runs the rules for requests that
// come now, and does not tell them a second time.
func Explain(view *state.State, key state.Key, canVote bool, reach ReachabilityOf) Explanation {
	read := Read{Key: key}
	e := Explanation{Rule: rule(read, view.Entry(key))}
	for {
		name, err := RouteRead(view, read, reach, func(int) int { return 1 }) // the first of equals
		if err != nil || slices.Contains(read.Tried, name) {
			if len(e.Reads) == 0 {
				e.ReadRefused = err
			}
			break
		}
		e.Reads, read.Tried = append(e.Reads, name), append(read.Tried, name)
	}
	e.Write, e.WriteRefused = RouteWrite(view, []state.Key{key}, canVote, reach)
	return e
}
