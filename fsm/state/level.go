package state

import "fmt"

// Level is the feature level of this program: the highest that it knows. It rises by one
// with a release that adds to the content of log entries or snapshots. An addition to the state is
// zero until the state has that level, and `omitempty`: so a snapshot of a lower level has no field
// that a program of that level does not know.
//
// The state has a level, too (State.FeatureLevel): every member of the cluster
// knows it. Only a command that needs no higher level is proposed (▲ state-allows-above-level), so
// that during a rolling upgrade the former program can apply every entry of the log, and can take
// over again. Once every member runs the new program the leader raises the level of the state
// (Raise), and from then on the former program stays out.
const Level = 1 + next

// feature is an addition of a later level to the commands.
type feature struct {
	// path names a command or a field of one by its JSON names, as in
	// "raise" or "pause.until".
	path string
	// level is the level that brought it.
	level int
	// used tells whether a command says it.
	used func(*Command) bool
}

// features are the commands and fields that need more than level 1. The ones of level 1
// are listed in testdata/level1.txt; TestFeatures_listEveryField finds a
// field that is in neither.
var features []feature

// Needs is the lowest feature level of the programs that know all that the
// commands say.
func Needs(commands []Command) int {
	level := 1
	for i := range commands {
		for _, f := range features {
			if f.level > level && f.used(&commands[i]) {
				level = f.level
			}
		}
	}
	return level
}

// FeatureLevel is the feature level that every member of the cluster knows.
func (s *State) FeatureLevel() int { return max(1, s.Level) }

// FeatureLevel is the feature level of the instance's program.
func (in *Instance) FeatureLevel() int { return max(1, in.Level) }

// Allows returns an error if commands that need the feature level must not be
// proposed (▲ state-allows-above-level): a member that does not know them may have to apply them.
// As the level of the state never falls, an older state may be asked.
func (s *State) Allows(needed int) error {
	if level := s.FeatureLevel(); needed > level {
		return refuse(RefusedLevel, "this needs feature level %d, and the cluster is at %d until every instance runs a version that knows it; "+
			"see `praefectctl raft status`", needed, level)
	}
	return nil
}

// LevelError says that this program is too old for an entry of the log, for a
// snapshot, or for the state.
type LevelError struct {
	// What needs the level, for people.
	What string
	// Needed is the level that it needs.
	Needed int
}

// Error implements error.
func (e *LevelError) Error() string {
	return fmt.Sprintf("%s needs feature level %d, and this version of the program knows %d: install the version that the other instances run",
		e.What, e.Needed, Level)
}

// tooOldFor returns a *LevelError if this program does not know the level.
func tooOldFor(what string, needed int) error {
	if needed <= Level {
		return nil
	}
	return &LevelError{What: what, Needed: needed}
}

// Known returns a *LevelError if this program is too old for the state.
func (s *State) Known() error { return tooOldFor("the replicated state", s.FeatureLevel()) }

// Raise gives the state a higher feature level. The leader proposes it when every
// member of the cluster has a live incarnation that knows the level.
type Raise struct {
	Level int `json:"level"`
}

func (c *Raise) invalid() string {
	if c.Level < 2 {
		return fmt.Sprintf("feature level %d cannot be raised to", c.Level)
	}
	return ""
}

// apply refuses a level that a live incarnation does not know (▲ TestRaise): one that
// registered after the leader decided, say.
func (c *Raise) apply(t *transition) *Refusal {
	if level := t.next.FeatureLevel(); c.Level <= level {
		return refuse(RefusedLevel, "the feature level is %d already", level)
	}
	for i := range t.next.Instances {
		if in := &t.next.Instances[i]; in.FeatureLevel() < c.Level {
			return refuse(RefusedLevel, "incarnation %d (%s) knows feature level %d", in.Incarnation, in.Name, in.FeatureLevel())
		}
	}
	t.next.Level = c.Level
	return nil
}
