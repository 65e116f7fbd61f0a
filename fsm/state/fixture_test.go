package state

import (
	"fmt"
	"strings"
	"testing"
)

// The incarnations, virtual storage and repository of a fixture.
const (
	alpha Incarnation = 1 // of instance "a"
	beta  Incarnation = 2 // of instance "b"
	vs                = "v"
	repo              = "a.git"
)

// fixture applies commands to a state and checks every state that results.
type fixture struct {
	t testing.TB
	*State
	number uint64
	term   uint64 // of the entries to come
	log    []Batch
}

// newFixture has two live instances and one virtual storage with the serving
// storages p, q and r.
func newFixture(t testing.TB) *fixture {
	w := &fixture{t: t, State: &State{}}
	w.must(0, Command{Register: &Register{ID: "a", ClusterID: "cluster"}}, Command{Register: &Register{ID: "b"}})
	w.populate()
	return w
}

// populate makes p, q and r serve.
func (w *fixture) populate() {
	w.t.Helper()
	w.must(alpha, define("p", "q", "r"))
	for _, name := range []string{"p", "q", "r"} {
		w.must(alpha, reach(name, "disk-"+name))
	}
	w.fill("q")
	w.fill("r")
}

// try applies one command as a batch of its own.
func (w *fixture) try(by Incarnation, c Command) Result {
	w.t.Helper()
	w.number++
	return w.batch(Batch{Incarnation: by, Number: w.number, Commands: []Command{c}})[0]
}

// must is try for commands that are to be applied, and returns the result of the last one.
func (w *fixture) must(by Incarnation, commands ...Command) (r Result) {
	w.t.Helper()
	for _, c := range commands {
		if r = w.try(by, c); r.Refusal != nil {
			w.t.Fatalf("%s: %v", describeCommand(c), r.Refusal)
		}
	}
	return r
}

// refuses wants a command to be refused for the reason.
func (w *fixture) refuses(by Incarnation, c Command, reason Reason) {
	w.t.Helper()
	if r := w.try(by, c); reasonOf(r) != reason {
		w.t.Errorf("%s: got %v, want refused (%s)", describeCommand(c), r.Refusal, reason)
	}
}

// batch applies the batch at the next index, with a request id of its own
// unless it has one.
func (w *fixture) batch(b Batch) []Result {
	w.t.Helper()
	index := w.Index + 1
	if b.RequestID == "" {
		b.RequestID = fmt.Sprint("request-", index)
	}
	b.Version, b.Time = CommandVersion, int64(index)*1000
	if b.EntryTerm == 0 {
		b.EntryTerm = w.term
	}
	w.log = append(w.log, b)
	next, results := w.Apply(index, b)
	if err := next.Check(); err != nil {
		w.t.Fatalf("after %+v: %v", b, err)
	}
	w.State = next
	return results
}

// fill ends the backfilling of the storage.
func (w *fixture) fill(name string) {
	w.t.Helper()
	s := w.VirtualStorage(vs).Storage(name)
	if s.Uncompared != "" {
		w.must(alpha, compared(s))
	}
	w.must(alpha, Command{Rejoin: &Rejoin{
		VirtualStorage: vs, Storage: name, FilesystemID: s.FilesystemID, Backfilled: s.Since,
	}})
}

// fence fences the storages as dead.
func (w *fixture) fence(names ...string) {
	w.t.Helper()
	w.must(alpha, w.fencing(WhyDead, names...))
}

// fencing is a fence at the present epoch.
func (w *fixture) fencing(why string, names ...string) Command {
	return Command{Fence: &Fence{VirtualStorage: vs, Storages: names, Why: why, Epoch: w.VirtualStorage(vs).Epoch}}
}

// admit ends fences: as out for the reason, or as serving, on the same disk,
// without one.
func (w *fixture) admit(why string, names ...string) {
	w.t.Helper()
	w.must(alpha, w.admitting(why, names...))
}

func (w *fixture) admitting(why string, names ...string) Command {
	c := &Admit{VirtualStorage: vs, Epoch: w.VirtualStorage(vs).Epoch}
	for _, name := range names {
		a := Admission{Storage: name, As: Out, Why: why}
		if why == "" {
			a.As, a.FilesystemID = Serving, w.VirtualStorage(vs).Storage(name).FilesystemID
		}
		c.Storages = append(c.Storages, a)
	}
	return Command{Admit: c}
}

// out takes the storage out.
func (w *fixture) out(name, why string) {
	w.t.Helper()
	w.fence(name)
	w.admit(why, name)
}

// switchover passes over the storages.
func (w *fixture) switchover(names ...string) {
	w.t.Helper()
	w.must(alpha, w.fencing(WhySwitchover, names...))
	w.admit("", names...)
}

// roundTrip fences p, and makes it the primary again.
func (w *fixture) roundTrip() {
	w.t.Helper()
	w.switchover("p")
	w.switchover("q", "r")
}

// entry returns the entry of the repository.
func (w *fixture) entry() *Entry { return w.Entry(Key{vs, repo}) }

// succession prints the succession.
func (w *fixture) succession() string {
	var all []string
	for _, s := range w.VirtualStorage(vs).Succession {
		text := s.Name + " " + s.describe()
		if s.New {
			text += " new"
		}
		all = append(all, text)
	}
	return strings.Join(all, ", ")
}

// String prints the entry without what depends on indices.
func (e *Entry) String() string {
	if e == nil {
		return "clean"
	}
	var all []string
	for _, m := range e.Intents {
		if m.Kind != "" {
			all = append(all, fmt.Sprintf("%s(%d)%s", m.Kind, m.Incarnation, m.Scope))
		}
		if m.InDoubt != nil {
			all = append(all, fmt.Sprintf("in doubt(%d)%s", m.Incarnation, m.InDoubt.Scope))
		}
	}
	if len(e.Behind) > 0 {
		all = append(all, "behind "+strings.Join(e.Behind, "+"))
	}
	if len(e.Conflicts) > 0 {
		var in []string
		for _, c := range e.Conflicts {
			in = append(in, c.Storage)
		}
		all = append(all, "conflict "+strings.Join(in, "+"))
	}
	if e.Advancing != "" {
		all = append(all, "advancing from "+e.Advancing)
	}
	if e.Deleted {
		all = append(all, "deleted")
	}
	return strings.Join(all, ", ")
}

func (s Scope) String() string {
	text := ""
	if s.BoundMillis > 0 {
		text += fmt.Sprint(" ", s.BoundMillis, "ms")
	}
	if s.RefsOnly {
		text += " refs"
	}
	if len(s.Targets) > 0 {
		text += " on " + strings.Join(s.Targets, "+")
	}
	return text
}

func describeCommand(c Command) string {
	if cmd := c.one(); cmd != nil {
		return fmt.Sprintf("%T%+v", cmd, cmd)
	}
	return "no command"
}

func define(storages ...string) Command {
	return Command{Define: &Define{VirtualStorage: vs, Storages: storages}}
}

func reach(storage, disk string) Command {
	return Command{Rejoin: &Rejoin{VirtualStorage: vs, Storage: storage, FilesystemID: disk}}
}

func open(kind IntentKind, targets ...string) Command {
	return Command{Open: &OpenIntent{
		VirtualStorage: vs, Paths: []string{repo}, Kind: kind, Scope: Scope{Targets: targets},
	}}
}

func closing(inDoubt bool) Command {
	return Command{Close: &CloseIntent{VirtualStorage: vs, Paths: []string{repo}, InDoubt: inDoubt}}
}

func markBehind(primary string, agreeing ...string) Command {
	return Command{MarkBehind: &MarkBehind{
		VirtualStorage: vs, Paths: []string{repo}, Primary: primary, Epoch: 1,
		Agreeing: append([]string{primary}, agreeing...),
	}}
}

func markInSync(asOf Index, storages ...string) Command {
	return Command{MarkInSync: &MarkInSync{Key: Key{vs, repo}, Storages: storages, AsOf: asOf}}
}
