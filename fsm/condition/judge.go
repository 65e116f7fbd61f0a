package condition

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"praefect/fsm/state"
)

// Condition is one thing that is not as it should be, or that an operator may want to know.
type Condition struct {
	Name  Name  `json:"name"`
	Level Level `json:"level"`
	// VirtualStorage, Storage and Instance say which thing it is about, each empty if it is not
	// about one.
	VirtualStorage string `json:"virtual_storage,omitempty"`
	Storage        string `json:"storage,omitempty"`
	Instance       string `json:"instance,omitempty"`
	// Text describes the fault.
	Text string `json:"text"`
	// Settings are the keys that instances have differently, of SettingsDiffer.
	Settings []Setting `json:"settings,omitempty"`
}

// MarshalJSON adds the place of the condition's run-book as "run_book".
func (c Condition) MarshalJSON() ([]byte, error) {
	type plain Condition
	return json.Marshal(struct {
		plain
		RunBook string `json:"run_book"`
	}{plain(c), c.Name.RunBook()})
}

// Kind has the properties that all conditions of this name share.
func (c Condition) Kind() Kind { return KindOf(c.Name) }

// ID tells two conditions apart: the texts of one change while it lasts.
func (c Condition) ID() ID { return ID{c.Name, c.VirtualStorage, c.Storage, c.Instance} }

// ID names a condition.
type ID struct {
	Name                              Name
	VirtualStorage, Storage, Instance string
}

// Judge returns the conditions that follow from facts, sorted by Compare and without duplicates.
func Judge(f Facts) []Condition {
	j := &judge{facts: f}
	j.instances()
	for _, vs := range f.VirtualStorages {
		j.virtualStorage(vs)
	}
	for _, r := range f.Raised {
		j.add(Condition{Name: r.Name, VirtualStorage: r.VirtualStorage, Storage: r.Storage, Instance: r.Instance, Text: r.Text, Settings: r.Settings})
	}
	return Merge(j.found)
}

// Merge joins lists of conditions into one sorted list. Of two with one ID the first stays.
func Merge(lists ...[]Condition) []Condition {
	merged := []Condition{}
	known := make(map[ID]bool)
	for _, list := range lists {
		for _, c := range list {
			if !known[c.ID()] {
				known[c.ID()] = true
				merged = append(merged, c)
			}
		}
	}
	slices.SortStableFunc(merged, Compare)
	return merged
}

// Compare orders conditions: the worst level first, then by name and by subject.
func Compare(a, b Condition) int {
	return cmp.Or(
		cmp.Compare(rank(b.Level), rank(a.Level)), strings.Compare(string(a.Name), string(b.Name)),
		strings.Compare(a.VirtualStorage, b.VirtualStorage), strings.Compare(a.Storage, b.Storage), strings.Compare(a.Instance, b.Instance),
	)
}

func rank(l Level) int { return slices.Index([]Level{Notice, Degraded, Unavailable}, l) }

type judge struct {
	facts Facts
	found []Condition
}

// add adds a condition with the level of its kind.
func (j *judge) add(c Condition) {
	c.Level = c.Kind().Level
	j.found = append(j.found, c)
}

// about returns what adds conditions of a subject, which of names it.
func (j *judge) about(of Condition) func(name Name, format string, args ...any) {
	return func(name Name, format string, args ...any) {
		of.Name, of.Text = name, fmt.Sprintf(format, args...)
		j.add(of)
	}
}

// instances judges the instances and their part in the cluster.
func (j *judge) instances() {
	f := j.facts
	own, cluster := j.about(Condition{Instance: f.Instance}), j.about(Condition{})
	if f.Leader == "" {
		cluster(NoLeader, "%s reaches no leader: nothing can be changed, and writes stop when the leases end", f.Instance)
	}
	if f.Defined && len(f.VirtualStorages) == 0 {
		cluster(NoVirtualStorage, "no virtual storage is agreed on yet")
	}
	if f.Leader != "" && !f.Leased {
		own(NoLease, "%s has no lease: it takes no writes", f.Instance)
	}
	if f.Postgres != "" {
		own(PostgresAway, "Postgres does not answer %s, so repairs wait: %s", f.Instance, f.Postgres)
	}
	for _, c := range f.Certificates {
		switch {
		case c.Problem != "":
			own(CertificateExpires, "%s of %s, %s: %s", c.Key, f.Instance, c.Path, c.Problem)
		case c.Left <= 0:
			own(CertificateExpires, "%s of %s, %s, has expired", c.Key, f.Instance, c.Path)
		case c.Left <= ExpiresWithin:
			own(CertificateExpires, "%s of %s, %s, expires in %s", c.Key, f.Instance, c.Path, days(c.Left))
		}
	}
	j.voters(cluster)
	if versions := versionsOf(f.Running); len(versions) > 1 {
		cluster(VersionsDiffer, "the instances run different versions: %s", strings.Join(versions, ", "))
	}
}

// voters judges the members as the leader sees them.
func (j *judge) voters(cluster func(Name, string, ...any)) {
	f := j.facts
	if len(f.Members) == 0 {
		return
	}
	voters, alive := 0, 0
	for _, m := range f.Members {
		if m.Voter {
			voters++
		}
		if m.Voter && m.Heard {
			alive++
		}
		about := j.about(Condition{Instance: m.Name})
		switch {
		case m.Heard && m.Problem != "":
			about(InstanceAway, "%s is not well: %s", m.Name, m.Problem)
		case m.Heard && m.Voter && !m.Leased:
			about(NoLease, "%s has no lease: it takes no writes", m.Name)
		case !m.Heard:
			about(InstanceAway, "the leader %s does not hear %s", f.Leader, m.Name)
		}
	}
	if voters < f.Configured {
		cluster(FewerVoters, "%d of the %d instances in the settings vote", voters, f.Configured)
	}
	majority := voters/2 + 1
	switch {
	case alive > majority:
	case voters == 1 && f.Configured <= 1:
		cluster(NoSpare, "the cluster has one instance: nothing is served while %s is down", f.Leader)
	default:
		cluster(CannotLoseAny, "%d of %d voters answer and %d are needed: the cluster can lose 0 of them", alive, voters, majority)
	}
}

// versionsOf lists each version with the instances that run it, if there is more than one.
func versionsOf(running []Running) []string {
	by := make(map[string][]string)
	for _, r := range running {
		by[r.Version] = append(by[r.Version], r.Name)
	}
	var list []string
	for version, names := range by {
		slices.Sort(names)
		list = append(list, fmt.Sprintf("%s (%s)", cmp.Or(version, "unknown"), strings.Join(slices.Compact(names), ", ")))
	}
	slices.Sort(list)
	return list
}

// virtualStorage judges one virtual storage.
func (j *judge) virtualStorage(vs VirtualStorage) {
	about := j.about(Condition{VirtualStorage: vs.Name})
	serving, writable := 0, false
	for _, s := range vs.Storages {
		j.storage(vs, s)
		if s.State == state.Serving {
			serving++
		}
		writable = writable || s.Name == vs.Primary && s.Reachable
	}
	switch {
	case vs.Primary == "":
		about(NoPrimary, "%s has no primary: it takes no writes", vs.Name)
	case !writable:
		about(NoPrimary, "%s cannot reach %s, the primary of %s: it takes no writes here", j.facts.Instance, vs.Primary, vs.Name)
	}
	if vs.Unavailable > 0 {
		about(RepositoryAway, "%s of %s cannot be served; list: praefectctl dataloss -virtual-storage %s", repositories(vs.Unavailable), vs.Name, vs.Name)
	}
	if vs.Conflicts > 0 {
		about(Conflict, "%s of %s: each side has what the other lacks, and both are kept; see: praefectctl dataloss -virtual-storage %s",
			repositories(vs.Conflicts), vs.Name, vs.Name)
	}
	if vs.Short > 0 {
		about(TooFewCopies, "%s of %s, such as %s, have been in sync on fewer than %d storages for more than %v",
			repositories(vs.Short), vs.Name, vs.ShortExample, min(vs.Copies, len(vs.Storages)), ShortAfter)
	}
	if serving == 1 && len(vs.Storages) > 1 {
		about(OneGoodCopy, "one of the %d storages of %s serves: each new write has one copy", len(vs.Storages), vs.Name)
	}
	j.releases(vs)
	if vs.Paused != "" {
		about(FailoverPaused, "automatic failover of %s is paused %s", vs.Name, vs.Paused)
	}
}

// releases judges the versions of the storages that serve. Storages of different releases may hash the
// same change otherwise: then the storages with the primary's release alone have the write.
func (j *judge) releases(vs VirtualStorage) {
	var running []Running
	release, alike := "", 0
	for _, s := range vs.Storages {
		if s.Name == vs.Primary {
			release = s.Release()
		}
	}
	for _, s := range vs.Storages {
		if s.State != state.Serving || !s.Reachable || s.Release() == "" {
			continue
		}
		running = append(running, Running{Name: s.Name, Version: s.Release()})
		if s.Release() == release {
			alike++
		}
	}
	versions := versionsOf(running)
	if len(versions) < 2 {
		return
	}
	about := j.about(Condition{VirtualStorage: vs.Name})
	about(ReleasesDiffer, "the storages of %s run different releases: %s", vs.Name, strings.Join(versions, ", "))
	if want := min(vs.Copies, len(running)); alike > 0 && alike < want {
		about(ReleaseAlone, "%d of the storages of %s that serve run what the primary %s runs (%s), fewer than %d: a write that the releases hash otherwise is on fewer storages until it is copied",
			alike, vs.Name, vs.Primary, release, want)
	}
}

// storage judges one storage.
func (j *judge) storage(vs VirtualStorage, s Storage) {
	about := j.about(Condition{VirtualStorage: vs.Name, Storage: s.Name})
	switch {
	case !s.Reachable:
		about(StorageAway, "%s cannot reach %s of %s%s", j.facts.Instance, s.Name, vs.Name, because(s.Err))
	case s.Slow():
		about(StorageSlow, "%s of %s is slow%s", s.Name, vs.Name, because(s.Err))
	}
	if s.State != state.Serving {
		about(StorageNotServing, "%s of %s does not serve: %s", s.Name, vs.Name, strings.TrimSpace(string(s.State)+" "+inBrackets(s.Why)))
	}
	if s.ReturnsIn != nil {
		about(StorageReturns, "%s of %s serves again in %v if it stays healthy", s.Name, vs.Name, s.ReturnsIn.Round(time.Second))
	}
	if s.Reachable && !s.Backchannel {
		about(NoVotes, "%s of %s does not speak the backchannel: writes to %s are not voted on", s.Name, vs.Name, vs.Name)
	}
}

func because(err error) string {
	if err == nil {
		return ""
	}
	return ": " + err.Error()
}

func inBrackets(text string) string {
	if text == "" {
		return ""
	}
	return "(" + text + ")"
}

func repositories(n int) string {
	if n == 1 {
		return "1 repository"
	}
	return fmt.Sprintf("%d repositories", n)
}

// days is a time for people: in days, or in hours where it is short.
func days(d time.Duration) string {
	if d < 48*time.Hour {
		return fmt.Sprintf("%d hours", int(d/time.Hour))
	}
	return fmt.Sprintf("%d days", int(d/(24*time.Hour)))
}
