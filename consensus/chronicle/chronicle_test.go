package chronicle_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"praefect/consensus/chronicle"
	"praefect/fsm/state"
	"praefect/test/must"
)

const vs = "default"

// log is a log of commands, each applied a second after the one before.
type log struct {
	t     *testing.T
	state *state.State
	inc   state.Incarnation

	seen    *state.State // up to where changes has the changes
	changes []chronicle.Change
	often   bool // look after each command
}

func (l *log) look() {
	l.changes = append(l.changes, chronicle.Between(l.seen, l.state)...)
	l.seen = l.state
}

func newLog(t *testing.T) *log {
	l := &log{t: t, state: &state.State{}}
	l.apply(state.Command{Register: &state.Register{ID: "i", Name: "praefect-1", ClusterID: "c"}})
	l.inc = l.state.Instances[0].Incarnation
	return l
}

func (l *log) apply(c state.Command) {
	l.t.Helper()
	index := l.state.Index + 1
	batch := state.Batch{Version: state.CommandVersion, RequestID: fmt.Sprint(index), Number: uint64(index), Time: int64(index) * 1000, Commands: []state.Command{c}}
	if c.Register == nil {
		batch.Incarnation = l.inc
	}
	next, results := l.state.Apply(index, batch)
	if r := results[0].Refusal; r != nil {
		l.t.Fatalf("%+v: %v", c, r)
	}
	l.state = next
	if l.often {
		l.look()
	}
}

// founded has a virtual storage of three serving storages.
func (l *log) founded() {
	l.apply(state.Command{Define: &state.Define{VirtualStorage: vs, Storages: []string{"g1", "g2", "g3"}}})
	for _, name := range []string{"g1", "g2", "g3"} {
		l.apply(state.Command{Rejoin: &state.Rejoin{VirtualStorage: vs, Storage: name, FilesystemID: name}})
		if s := l.state.VirtualStorage(vs).Storage(name); s.State == state.Backfilling {
			l.apply(state.Command{Compared: &state.Compared{VirtualStorage: vs, Storage: name, Since: s.Since}})
			l.apply(state.Command{Rejoin: &state.Rejoin{VirtualStorage: vs, Storage: name, FilesystemID: name, Backfilled: s.Since}})
		}
	}
}

func (l *log) fence(why, by string, names ...string) {
	l.apply(state.Command{Fence: &state.Fence{VirtualStorage: vs, Storages: names, Why: why, Epoch: l.state.VirtualStorage(vs).Epoch, By: by}})
}

func (l *log) admit(as state.StorageState, why string, names ...string) {
	c := &state.Admit{VirtualStorage: vs, Epoch: l.state.VirtualStorage(vs).Epoch, By: "automatic"}
	for _, name := range names {
		a := state.Admission{Storage: name, As: as, Why: why}
		if as == state.Serving {
			a.FilesystemID = name
		}
		c.Storages = append(c.Storages, a)
	}
	l.apply(state.Command{Admit: c})
}

// TestBetween_oneChangeForAllCommands: whether the leader looks after each command or only at the end.
func TestBetween_oneChangeForAllCommands(t *testing.T) {
	for _, row := range []struct {
		name  string
		play  func(l *log)
		want  chronicle.Kind
		check func(c chronicle.Change) bool
	}{
		{"failover of two", func(l *log) {
			l.fence(state.WhyDead, "automatic", "g1", "g2")
			l.admit(state.Out, state.WhyDead, "g1", "g2")
		}, chronicle.Failover, func(c chronicle.Change) bool {
			return slices.Equal(c.Storages, []string{"g1", "g2"}) && c.PrimaryBefore == "g1" && c.Primary == "g3" && c.Took == time.Second && c.Cause == state.WhyDead
		}},
		{"promote", func(l *log) { l.fence(state.WhySwitchover, "alice", "g1"); l.admit(state.Serving, "", "g1") }, chronicle.Promote, func(c chronicle.Change) bool {
			return c.By == "alice" && c.Primary == "g2" && c.Cause == state.WhySwitchover
		}},
		{"promote whose old primary dies", func(l *log) { l.fence(state.WhySwitchover, "alice", "g1"); l.admit(state.Out, state.WhyDead, "g1") }, chronicle.Promote, func(c chronicle.Change) bool {
			return c.By == "alice"
		}},
		{"drain", func(l *log) { l.fence(state.WhyDrained, "bob", "g1"); l.admit(state.Out, state.WhyDrained, "g1") }, chronicle.Drain, func(c chronicle.Change) bool {
			return c.By == "bob" && c.Took == time.Second
		}},
		{"another disk", func(l *log) {
			l.apply(state.Command{Rejoin: &state.Rejoin{VirtualStorage: vs, Storage: "g3", FilesystemID: "new"}})
		}, chronicle.OtherDisk, func(c chronicle.Change) bool { return c.Primary == "g1" && c.Took == 0 }},
		{"an added storage", func(l *log) {
			l.apply(state.Command{Define: &state.Define{VirtualStorage: vs, Storages: []string{"g1", "g2", "g3", "g4"}}})
		}, chronicle.AddStorage, func(c chronicle.Change) bool { return slices.Equal(c.Storages, []string{"g4"}) }},
		{"a removed virtual storage", func(l *log) {
			l.apply(state.Command{RemoveVirtualStorage: &state.RemoveVirtualStorage{VirtualStorage: vs, Epoch: l.state.VirtualStorage(vs).Epoch}})
		}, chronicle.RemoveVirtualStorage, func(c chronicle.Change) bool { return c.PrimaryBefore == "g1" && len(c.Storages) == 3 }},
		{"a pause of failover", func(l *log) { l.apply(state.Command{Pause: &state.Pause{VirtualStorage: vs}}) }, "", nil},
	} {
		for _, often := range []bool{false, true} {
			l := newLog(t)
			l.founded()
			l.seen, l.changes = l.state, nil
			l.often = often
			row.play(l)
			l.look()
			got := l.changes
			switch {
			case row.want == "" && len(got) > 0:
				t.Errorf("%s: got %+v", row.name, got)
			case row.want != "" && (len(got) != 1 || got[0].Kind != row.want || got[0].VirtualStorage != vs || !row.check(got[0])):
				t.Errorf("%s: got %+v", row.name, got)
			}
		}
	}
}

// TestBetween_returns: a storage that was out, and one that was backfilled.
func TestBetween_returns(t *testing.T) {
	l := newLog(t)
	l.seen = l.state
	l.founded()
	l.look()
	var kinds []chronicle.Kind
	for _, c := range l.changes {
		kinds = append(kinds, c.Kind)
	}
	// The definition of all of it at once tells of the storages, too.
	if !slices.Equal(kinds, []chronicle.Kind{chronicle.DefineVirtualStorage}) {
		t.Errorf("got %q", kinds)
	}
	l.fence(state.WhyDead, "automatic", "g1")
	l.admit(state.Out, state.WhyDead, "g1")
	l.look()
	l.changes = nil
	l.apply(state.Command{Rejoin: &state.Rejoin{VirtualStorage: vs, Storage: "g1", FilesystemID: "g1"}})
	l.apply(state.Command{Rejoin: &state.Rejoin{VirtualStorage: vs, Storage: "g3", FilesystemID: "new"}})
	s := l.state.VirtualStorage(vs).Storage("g3")
	l.apply(state.Command{Compared: &state.Compared{VirtualStorage: vs, Storage: "g3", Since: s.Since}})
	l.apply(state.Command{Rejoin: &state.Rejoin{VirtualStorage: vs, Storage: "g3", FilesystemID: "new", Backfilled: s.Since}})
	l.look()
	kinds = nil
	for _, c := range l.changes {
		kinds = append(kinds, c.Kind)
	}
	if want := []chronicle.Kind{chronicle.Return, chronicle.OtherDisk, chronicle.Backfilled}; !slices.Equal(kinds, want) {
		t.Errorf("got %q, want %q", kinds, want)
	}
}

// TestBetween_instances: those in the history of the instances.
func TestBetween_instances(t *testing.T) {
	l := newLog(t)
	l.apply(state.Command{Register: &state.Register{ID: "j", Name: "praefect-2"}})
	gone := state.Incarnation(l.state.Index)
	l.seen = l.state
	l.apply(state.Command{Record: &state.Record{What: state.ChangeRemoved, Instance: "praefect-2", By: "alice"}})
	l.apply(state.Command{Retire: &state.Retire{Incarnation: gone, Proof: state.ProofSilent}})
	l.look()
	if len(l.changes) != 2 || l.changes[0].Kind != chronicle.RemoveInstance || l.changes[0].By != "alice" ||
		l.changes[1].Kind != chronicle.RetireInstance || l.changes[1].Cause != string(state.ProofSilent) || l.changes[1].Instance != "praefect-2" {
		t.Errorf("got %+v", l.changes)
	}
}

// TestKinds_areRowsOfThePage: the page lists each kind, and no other.
func TestKinds_areRowsOfThePage(t *testing.T) {
	page, err := os.ReadFile("../../docs/operations/changes.md")
	must.Succeed(t, err)
	_, rows, found := strings.Cut(string(page), "| change | ")
	if !found {
		t.Fatal("the page has no table of changes")
	}
	rows, _, _ = strings.Cut(rows, "\n\n")
	for _, kind := range chronicle.Kinds {
		if !strings.Contains(rows, "\n| `"+string(kind)+"` |") {
			t.Errorf("docs/operations/changes.md has no row of %s", kind)
		}
	}
	if n := strings.Count(rows, "\n| `"); n != len(chronicle.Kinds) {
		t.Errorf("docs/operations/changes.md has %d rows for %d kinds", n, len(chronicle.Kinds))
	}
}
