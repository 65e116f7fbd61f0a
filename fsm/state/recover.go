package state

import (
	"slices"
	"strings"
)

// Recovery is an operator's word that the instances of a cluster are lost, with it the
// last entries of its log, and that one of them goes on from its own log.
type Recovery struct {
	// Index is that of the recovery, later than any in the state.
	Index Index
	// ClusterID is the id of the cluster that begins with it.
	ClusterID string
	// Time is when, Unix milliseconds, and By names the operator, for the history.
	Time int64
	By   string
	// BoundMillis is how long an effect may still come of a write that a lost instance had
	// under way, if no intent tells.
	BoundMillis int64
}

// recoveredEpochs is by how much a recovery raises each epoch. The entries that are lost
// have raised it by less, so that no epoch gets a second primary.
const recoveredEpochs = 1000

// noDisk is the file system id of a drained storage after a recovery: any disk that it returns
// with is another one, and is compared.
const noDisk = "not verified since the recovery"

// Recover returns the state with which a cluster of one begins after a recovery. The content of
// the lost entries is not known, so nothing is taken for in sync that they may have called behind:
// all incarnations are retired, their operations under way are in doubt, and every storage is
// backfilled, and so compared, but the ones that have to serve: the first storage that
// serves, and the primary of each repository in the ledger. One that is fenced or out and alone has
// a repository is kept, too, and is backfilled when it returns.
//
// One case is not decided here. Where several storages that serve are kept, a repository that the
// ledger lists is in doubt and is compared. A repository that it does not list counts as in sync on
// all of them at once, because it would be unavailable otherwise: the history names these storages
// (NotCompared), and the verification looks at each repository there before all others. Where no
// storage serves, several may be kept that are fenced or out, and the repositories that the ledger
// does not list are compared on them by the rounds of the verification only.
func (s *State) Recover(r Recovery) *State {
	t := s.begin(r.Index, Batch{Time: r.Time})
	t.next.ClusterID, t.next.Instances, t.next.answers = r.ClusterID, nil, answers{}
	t.next.Replaced = append(slices.Clone(s.Replaced), s.ClusterID)
	for i := range s.VirtualStorages {
		t.doubtLive(&s.VirtualStorages[i], r)
		t.recover(s.VirtualStorages[i].Name, r)
	}
	return t.end()
}

// doubtLive puts the operations under way in doubt. The incarnation of an intent may have begun
// others since, whose entries are lost: a copy, onto any storage (▲ state-recover-known-bound).
func (t *transition) doubtLive(vs *VirtualStorage, r Recovery) {
	unknown := Scope{BoundMillis: r.BoundMillis, Targets: vs.names(func(*Storage) bool { return true })}
	t.rewrite(vs.Name, func(e *Entry) *Entry {
		if !e.HasLive() && e.Wish == nil {
			return nil
		}
		e = e.clone()
		e.Wish = nil
		for _, inc := range e.liveIncarnations() { // ▲ state-recover-clean
			at, _ := e.find(inc)
			scope := e.Intents[at].Scope.merge(unknown)
			e.closeIntent(inc, r.Index, true, &scope)
		}
		return e
	})
}

// liveIncarnations are the incarnations that have a live intent.
func (e *Entry) liveIncarnations() []Incarnation {
	var live []Incarnation
	for i := range e.Intents {
		if e.Intents[i].Kind != "" {
			live = append(live, e.Intents[i].Incarnation)
		}
	}
	return live
}

// recover is Recover for one virtual storage.
func (t *transition) recover(name string, r Recovery) {
	vs := t.edit(name)
	vs.Epoch += recoveredEpochs // ▲ state-recover-same-epoch
	t.note(vs, Change{What: ChangeRecovered, By: r.By})
	kept := t.kept(vs)
	serving := slices.ContainsFunc(vs.Succession, func(s Storage) bool { return kept[s.Name] && s.State == Serving })
	var backfilled []string
	for _, s := range slices.Clone(vs.Succession) {
		switch {
		case kept[s.Name] && s.State != Serving && serving:
			// ▲ state-recover-returns-uncompared: Of the repositories that the ledger does not list
			// it may miss the ones that the lost entries called behind. It keeps the repositories
			// that no other storage has, and is compared when it returns.
			vs.Storage(s.Name).FilesystemID = noDisk
		case kept[s.Name]:
		case s.State == Backfilling:
			// ▲ state-recover-backfilled, state-recover-serves-on: It may have served since, and
			// have acknowledged writes that no other storage has.
			if f := vs.Storage(s.Name); f.Uncompared == "" && f.New {
				f.Uncompared = UncomparedFounding
			} else if f.Uncompared == "" {
				f.Uncompared = UncomparedLater
			}
		case s.State == Out && s.Why == WhyDrained:
			// It stays out until an operator says otherwise.
			vs.Storage(s.Name).FilesystemID = noDisk
		default:
			t.setState(vs, s.Name, Backfilling, "recovered", r.By)
			// ▲ state-recover-uncompared: It may have writes that the survivor has not heard of:
			// the most advanced replica is the source.
			vs.Storage(s.Name).New, vs.Storage(s.Name).Uncompared = true, UncomparedFounding
			backfilled = append(backfilled, s.Name)
		}
	}
	if serving {
		t.noteNotCompared(vs, kept, r.By)
	}
	t.fallBehind(name, backfilled)
	all := vs.names(func(*Storage) bool { return true })
	t.rewrite(name, func(e *Entry) *Entry {
		var unsure []string // behind, and not compared as a backfilled one is
		for _, s := range e.Behind {
			if kept[s] && !e.InConflict(s) {
				unsure = append(unsure, s)
			}
		}
		several := vs.severalInSync(e)
		if !several && len(unsure) == 0 {
			return nil // the others are behind, and are compared with the one that is not
		}
		e = e.clone()
		e.suspect(vs, unsure, r.Time)
		if !several { // ▲ state-recover-unverified
			return e
		}
		e.Intents = append(e.Intents, Intent{
			Incarnation: Incarnation(r.Index), InDoubt: &Doubt{At: r.Index, Scope: Scope{BoundMillis: r.BoundMillis, Targets: all}},
		})
		return e
	})
}

// notCompared is the reason in the history of a storage that serves on beside the first one.
const notCompared = "serves on, not compared"

// noteNotCompared names the storages in the history that serve on beside the first one. vs is to be
// changed.
func (t *transition) noteNotCompared(vs *VirtualStorage, kept map[string]bool, by string) {
	beside := false
	for _, s := range slices.Clone(vs.Succession) {
		if s.State != Serving || !kept[s.Name] {
			continue
		}
		if beside {
			t.note(vs, Change{What: ChangeRecovered, Storage: s.Name, Why: notCompared, By: by})
		}
		beside = true
	}
}

// NotCompared returns the storages that serve on since the last recovery and of which the replicas
// that the ledger did not list have not all been compared since, as far as the history tells, with
// the time of the recovery in Unix milliseconds. A storage that was backfilled later was compared.
func (v *VirtualStorage) NotCompared() (storages []string, recovered int64) {
	for _, c := range v.History {
		switch {
		case c.What == ChangeRecovered && c.Storage == "": // a newer one
			storages, recovered = nil, c.Time
		case c.What == ChangeRecovered:
			storages = append(storages, c.Storage)
		case c.What == "" && (c.To == Backfilling || c.To == ""):
			storages = slices.DeleteFunc(storages, func(name string) bool { return name == c.Storage })
		}
	}
	return storages, recovered
}

// suspect keeps the replicas of storages that are behind from being overwritten
// (▲ state-recover-overwrites): they may have caught up since, and acknowledged writes. The
// conflicts end when a comparison finds nothing there that the primary lacks. Only for a clone.
func (e *Entry) suspect(vs *VirtualStorage, storages []string, now int64) {
	primary := ""
	for s := range vs.InSync(e) {
		primary = s.Name
		break
	}
	e.Conflicts = slices.Clone(e.Conflicts)
	for _, s := range storages {
		e.Conflicts = append(e.Conflicts, Conflict{Storage: s, Primary: primary, Time: now})
	}
	slices.SortFunc(e.Conflicts, func(a, b Conflict) int { return strings.Compare(a.Storage, b.Storage) })
}

// kept are the storages that stay as they are: the first one that serves, and of each
// repository in the ledger the primary, whose other replicas are known to lack something.
// Where no storage in sync serves, the ones that are fenced or out keep the repository until
// they return.
func (t *transition) kept(vs *VirtualStorage) map[string]bool {
	kept := make(map[string]bool)
	keep := func(e *Entry) bool {
		for s := range vs.InSync(e) {
			if s.State == Serving {
				kept[s.Name] = true
				return true
			}
		}
		for _, s := range vs.Succession {
			if s.State != Backfilling && !e.IsBehind(s.Name) {
				kept[s.Name] = true
			}
		}
		return true
	}
	keep(nil)
	t.each(vs.Name, func(_ Key, e *Entry) bool { return keep(e) })
	return kept
}

// severalInSync reports whether more than one storage is in sync for the repository.
func (v *VirtualStorage) severalInSync(e *Entry) bool {
	n := 0
	for range v.InSync(e) {
		n++
	}
	return n > 1
}
