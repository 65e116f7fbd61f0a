package elector

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"praefect/consensus/health"
	"praefect/consensus/settings"
	"praefect/fsm/condition"
	"praefect/fsm/state"
	"praefect/test/must"
)

// fixture is a state whose leader decides again and again, with three voters that
// agree on what they see.
type fixture struct {
	t      testing.TB
	in     Input
	memory Memory
	// look is what the voters see of each storage: its disk, "" for an
	// unexplained absence, or "dead"; sees says how many of three do.
	look map[string]string
	sees map[string]int
	// connected is the index that their connections were made after.
	connected state.Index
	alarms    []condition.Raised
	rejoining map[health.Name]time.Duration
	probe     []state.Incarnation
	history   []string // the commands that were applied, or refused
	leases    *table
	// files are the storages in the settings of the instances, by their order; those of the others are
	// as configured. silent ones have not told in this term.
	files  map[int][]string
	silent map[int]bool
	// large tells that the ledger is not checked after each command.
	large bool
}

// table is a table of leases that says what it is told to.
type table struct {
	applied state.Index // by all
	leased  map[state.Incarnation]bool
	heard   map[state.Incarnation]time.Duration
}

func (t *table) AppliedByAll(index state.Index, _ time.Duration) bool { return t.applied >= index }
func (t *table) Leased(inc state.Incarnation, _ time.Duration) bool   { return t.leased[inc] }
func (t *table) LastReceived(inc state.Incarnation) (at time.Duration, ok bool) {
	at, ok = t.heard[inc]
	return at, ok
}

const everything = state.Index(1 << 60) // applied by all

// newFixture is a leader of long standing with three storages that serve: their
// disks are A, B and C.
func newFixture(t testing.TB) *fixture {
	r := &fixture{t: t, look: make(map[string]string), sees: make(map[string]int), leases: &table{
		applied: everything, leased: make(map[state.Incarnation]bool), heard: make(map[state.Incarnation]time.Duration),
	}}
	r.in = Input{
		Settings: Settings{Failover: true}.WithDefaults(),
		Now:      time.Hour, Wall: time.Unix(1e9, 0), View: &state.State{}, Leases: r.leases, Self: 1,
		Configured: []Configured{{VirtualStorage: "default", Storages: []string{"g1", "g2", "g3"}, Primary: "g1"}},
	}
	for i := range 3 {
		r.apply(0, state.Command{Register: &state.Register{ID: fmt.Sprint("i", i), Name: fmt.Sprint("praefect-", i), ClusterID: "c"}})
		inc := r.in.View.Instances[i].Incarnation
		r.leases.leased[inc], r.leases.heard[inc] = true, time.Hour
	}
	r.look = map[string]string{"g1": "A", "g2": "B", "g3": "C"}
	r.step(0)
	r.step(0)
	for _, name := range []string{"g2", "g3"} {
		s := r.vs().Storage(name)
		r.apply(1, state.Command{Compared: &state.Compared{VirtualStorage: "default", Storage: name, Since: s.Since}})
		r.apply(1, state.Command{Rejoin: &state.Rejoin{VirtualStorage: "default", Storage: name, FilesystemID: s.FilesystemID, Backfilled: s.Since}})
	}
	r.want("g1 serving A, g2 serving B, g3 serving C")
	r.history = nil
	return r
}

func (r *fixture) vs() *state.VirtualStorage { return r.in.View.VirtualStorage("default") }

// apply applies commands as one batch, and notes them.
func (r *fixture) apply(inc state.Incarnation, commands ...state.Command) {
	r.t.Helper()
	index := r.in.View.Index + 1
	next, results := r.in.View.Apply(index, state.Batch{
		Version: state.CommandVersion, RequestID: fmt.Sprint(index), Incarnation: inc, Number: uint64(index), Time: r.in.Wall.UnixMilli(), Commands: commands,
	})
	if !r.large {
		must.Succeed(r.t, next.Check())
	}
	r.in.View = next
	for i, result := range results {
		what := short(commands[i])
		if result.Refusal != nil {
			what += " " + string(result.Refusal.Reason)
		}
		r.history = append(r.history, what)
	}
}

// short names a command.
func short(c state.Command) string {
	switch {
	case c.Define != nil:
		return fmt.Sprint("define ", c.Define.Storages)
	case c.Rejoin != nil:
		return fmt.Sprint("return ", c.Rejoin.Storage, " ", c.Rejoin.FilesystemID)
	case c.Fence != nil:
		return fmt.Sprint("fence ", c.Fence.Storages, " ", c.Fence.Why)
	case c.Admit != nil:
		what := "admit"
		for _, a := range c.Admit.Storages {
			what += fmt.Sprint(" ", a.Storage, " ", a.As)
		}
		return what
	case c.Retire != nil:
		return fmt.Sprint("retire ", c.Retire.Incarnation, " ", c.Retire.Proof)
	}
	return "another"
}

// step lets time pass and decides once; what is decided is applied.
func (r *fixture) step(after time.Duration) {
	r.t.Helper()
	r.in.Now += after
	r.in.Wall = r.in.Wall.Add(after)
	r.in.Counts = r.counts()
	r.in.Reports = r.reports()
	d := Decide(r.in, r.memory)
	r.memory, r.alarms, r.probe, r.rejoining = d.Memory, d.Alarms, d.Probe, d.Rejoining
	if len(d.Commands) > 0 {
		r.apply(1, d.Commands...)
	}
}

// pass decides every 100 ms for a time.
func (r *fixture) pass(d time.Duration) {
	r.t.Helper()
	for range d / (100 * time.Millisecond) {
		r.step(100 * time.Millisecond)
	}
}

// reports are what the instances tell of their settings.
func (r *fixture) reports() map[state.Incarnation]settings.Report {
	all := make(map[state.Incarnation]settings.Report)
	for i, in := range r.in.View.Instances {
		if r.silent[i] {
			continue
		}
		names, ok := r.files[i]
		if !ok {
			names = r.in.Configured[0].Storages
		}
		vs := settings.VirtualStorage{Name: "default", Line: 10}
		for _, name := range names {
			vs.Storages = append(vs.Storages, settings.Storage{Name: name, Line: 11 + len(vs.Storages)})
		}
		report := settings.Report{Instance: in.Name, VirtualStorages: []settings.VirtualStorage{vs}}
		if len(names) == 0 {
			report.VirtualStorages = nil
		}
		all[in.Incarnation] = report.Seal()
	}
	return all
}

func (r *fixture) counts() map[health.Name]health.Count {
	voters := []string{"i0", "i1", "i2"}
	received := make(map[string]health.Received)
	for i, id := range voters {
		b := health.Received{At: r.in.Now}
		for name, look := range r.look {
			if sees, ok := r.sees[name]; ok && i >= sees {
				continue
			}
			report := health.Report{VirtualStorage: "default", Storage: name, FilesystemID: look, Status: health.Well, ConnectedAt: r.connected}
			var agreed string
			if vs := r.vs(); vs != nil {
				agreed = vs.Storage(name).FilesystemID
			}
			switch {
			case look == "":
				report.Status = health.Unknown
			case look == "dead":
				report.Status, report.FilesystemID = health.Dead, ""
			case agreed != "" && look != agreed:
				report.Status = health.Dead
			}
			b.Reports = append(b.Reports, report)
		}
		received[id] = b
	}
	return health.CountReports(r.in.Now, 300*time.Millisecond, voters, received)
}

// want checks the succession: names, states, disks.
func (r *fixture) want(succession string) {
	r.t.Helper()
	var got []string
	for _, s := range r.vs().Succession {
		got = append(got, fmt.Sprintf("%s %s %s", s.Name, s.State, s.FilesystemID))
	}
	if strings.Join(got, ", ") != succession {
		r.t.Errorf("got %q, want %q", strings.Join(got, ", "), succession)
	}
}

// did checks what was proposed since the last call.
func (r *fixture) did(want ...string) {
	r.t.Helper()
	if !slices.Equal(r.history, want) {
		r.t.Errorf("did %q, want %q", r.history, want)
	}
	r.history = nil
}

// warns checks that there is one alarm, which says that; none if it is empty.
func (r *fixture) warns(of string) {
	r.t.Helper()
	if of == "" && len(r.alarms) > 0 || of != "" && (len(r.alarms) != 1 || !strings.Contains(r.alarms[0].Text, of)) {
		r.t.Errorf("alarms: got %+v, want one with %q", r.alarms, of)
	}
}
