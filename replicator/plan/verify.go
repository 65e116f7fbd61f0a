package plan

import (
	"time"

	"praefect/fsm/state"
)

// Pace has the values that decide when the next repository of a virtual storage is verified.
type Pace struct {
	// Interval is within which each repository is to be verified; not positive: only requested
	// ones are.
	Interval time.Duration
	// Count is how many repositories there are, about.
	Count int
	// Requested tells that an operator asks for the repository whose turn it is.
	Requested bool
	// Age is how long ago that was last looked at, Since how long ago the last step was taken;
	// Since is negative if none ever was.
	Age, Since time.Duration
	// Recovered is how long ago a recovery left storages serving without a comparison; 0: none did.
	Recovered time.Duration
}

// First tells that the repository comes before the rounds: a recovery has counted replicas of it as
// in sync that nothing has compared since.
func (p Pace) First() bool { return p.Recovered > 0 && !p.Requested && p.Age > p.Recovered }

// Of the interval a round takes roundShare, so that a storage which is away for a while makes no
// repository late. One that was not looked at for lateShare of it makes the round lateSpeed times
// as fast.
const (
	roundShare = 0.8
	lateShare  = 0.9
	lateSpeed  = 4
)

// Late tells that there is little left of the interval of a repository.
func (p Pace) Late() bool {
	return p.Interval > 0 && !p.Requested && float64(p.Age) >= lateShare*float64(p.Interval)
}

// Due tells whether the repository is to be verified at all, and after which wait. The rate is
// the number of repositories by the interval in every case: nothing makes it a burst
// but a request, and a recovery.
func (p Pace) Due() (wait time.Duration, ever bool) {
	switch {
	case p.Requested, p.First():
		return 0, true
	case p.Interval <= 0:
		return 0, false
	}
	since := p.Since
	if since < 0 {
		since = p.Age
	}
	step := time.Duration(float64(p.Interval) * roundShare / float64(max(1, p.Count)))
	if p.Late() {
		step /= lateSpeed
	}
	return max(0, step-since), true
}

// SoonAgain is how much earlier a repository counts as looked at that could not be judged: it
// comes again after about an eighth of the interval, not at once before all others. After a recovery
// it comes again in its round, because it would be the first one for ever.
func (p Pace) SoonAgain() time.Duration {
	if p.First() {
		return 0
	}
	return max(0, p.Interval) * 2 / 3
}

// Load is the other work in a virtual storage.
type Load struct {
	// Repairs counts the repairs that run. A worker takes a due repair at once, so that none runs
	// while one that is due waits.
	Repairs int
	// Waited is how long the verification has yielded to them.
	Waited time.Duration
	// Late is Pace.Late.
	Late bool
}

// Yields tells whether the verification waits for the repairs to end. It does not for ever: copies
// may run for days, and a fault that keeps a replica from being repaired is no reason to look at none.
func (l Load) Yields() bool {
	most := 10 * time.Minute
	if l.Late {
		most = 10 * time.Second
	}
	return l.Repairs > 0 && l.Waited < most
}

// LeaveAlone is how long the storages are left alone after a verification that took a while: they have
// clients, too.
func LeaveAlone(took time.Duration, requested bool) time.Duration {
	pause := 3 * took
	if requested {
		pause = took
	}
	return min(pause, time.Minute)
}

// Comparable are the storages whose replicas of a repository are to be like the primary's, which
// comes first. The entry of the ledger about the others explains any content of theirs. It is none, and
// why says it, while the ledger explains a difference of any.
func Comparable(vs *state.VirtualStorage, e *state.Entry) (storages []string, why string) {
	if vs == nil {
		return nil, "its virtual storage is not defined"
	}
	primary, ok := vs.Primary(e)
	switch {
	case e.HasDoubt():
		return nil, "a write of it is in doubt, and repair compares the replicas"
	case e.IsAdvancing():
		return nil, "it is being advanced"
	case !ok:
		return nil, "it has no primary"
	}
	storages = []string{primary.Name}
	for s := range vs.InSync(e) {
		if s.State == state.Serving && s.Name != primary.Name {
			storages = append(storages, s.Name)
		}
	}
	return storages, ""
}

// DamagedPrefix begins the text about a replica of whose objects git complains.
const DamagedPrefix = "damaged: "

// Seen is the finding about one replica.
type Seen struct {
	Storage string
	Replica
	// Err is why nothing was.
	Err error
	// Damaged is the complaint of a check of its objects, empty if there was none, or none is
	// damaged.
	Damaged string
}

// Findings are the results of a comparison of replicas.
type Findings struct {
	// Primary is the storage that the others were compared with.
	Primary string
	// Alike are the storages whose replicas are as they should be, the primary perhaps among them.
	Alike []string
	// Differences are the storages whose replicas are not.
	Differences []state.Difference
	// Unknown are the storages that could not tell; Why is the reason of the first one.
	Unknown []string
	Why     error
}

// Compare judges replicas, of which the primary's comes first.
func Compare(seen []Seen) Findings {
	primary := seen[0]
	f := Findings{Primary: primary.Storage}
	for i, s := range seen {
		switch {
		case primary.Err != nil || s.Err != nil:
			f.Unknown = append(f.Unknown, s.Storage)
			if f.Why == nil {
				f.Why = s.Err
			}
			continue
		case s.Damaged != "":
			f.differs(s.Storage, DamagedPrefix+s.Damaged)
			continue
		case i > 0:
			if what := Unlike(primary.Replica, s.Replica); what != "" {
				f.differs(s.Storage, unlike(primary.Replica, s.Replica, what))
				continue
			}
		}
		f.Alike = append(f.Alike, s.Storage)
	}
	return f
}

func (f *Findings) differs(storage, what string) {
	f.Differences = append(f.Differences, state.Difference{Storage: storage, What: state.Shorten(what)})
}

// unlike describes the finding of Unlike for people.
func unlike(primary, replica Replica, what string) string {
	switch {
	case primary.Has && !replica.Has:
		return "it lacks the repository, which the primary has"
	case !primary.Has && replica.Has:
		return "it has the repository, which the primary lacks"
	case primary.References != replica.References:
		return "its references differ"
	}
	return what
}

// Unexplained tells whether differences that were found between two looks at the ledger count
// (▲ TestUnexplained): nothing changed the repository's entry, and no write was under way but what
// self, which holds the repository's repair lock, may have had.
func Unexplained(before, after *state.Entry, self state.Incarnation) bool {
	if before != after && (before == nil || after == nil || before.Changed != after.Changed) {
		return false
	}
	if after == nil {
		return true
	}
	for i := range after.Intents {
		if m := &after.Intents[i]; m.InDoubt != nil || m.Kind != "" && m.Incarnation != self {
			return false
		}
	}
	return true
}
