package admin

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"praefect/fsm/state"
	"praefect/proxy/router"
)

const (
	// explainTimeout bounds each question to Postgres, the leader and the storages.
	explainTimeout = 3 * time.Second
	// explainChanges is how many of the last changes are told.
	explainChanges = 10
	// explainJobs bounds the jobs: there is one a path.
	explainJobs = 10
)

// Explain tells everything that is known of one repository. It needs neither Postgres nor the
// leader nor a storage: their parts are left out then, and it says so.
func (s *Service) Explain(ctx context.Context, request ExplainRequest) (ExplainResponse, error) {
	view := s.Node.View()
	vs, err := only(view, request.VirtualStorage)
	if err != nil {
		return ExplainResponse{}, err
	}
	if request.RelativePath == "" {
		return ExplainResponse{}, Errorf(Invalid, "no repository is named: want its relative path, as in @hashed/ab/cd/abcd.git")
	}
	key := state.Key{VirtualStorage: vs.Name, RelativePath: request.RelativePath}
	entry := view.Entry(key)
	response := ExplainResponse{
		Schema: Schema, Instance: s.cfg.Instance, VirtualStorage: vs.Name, RelativePath: key.RelativePath, Index: view.Index,
		Routes: inWords(s.Routes(key)), Storages: s.replicas(vs, entry), WaitsFor: s.Repair.Waiting(key), Existence: s.existence(ctx, key),
		Jobs: []Job{},
	}
	if entry != nil {
		response.Entry = s.entry(ctx, view, entry)
	}
	response.Changes = s.changesOf(view, key, response.Entry)
	asking, cancel := context.WithTimeout(ctx, explainTimeout)
	defer cancel()
	jobs, err := s.Repair.Jobs(asking, QueueListRequest{VirtualStorage: vs.Name, RelativePath: key.RelativePath, Limit: explainJobs})
	if err != nil {
		response.JobsError = err.Error()
	} else {
		response.Jobs = orNone(jobs)
	}
	return response, nil
}

// RoutesOf are the decisions of the router about a repository, in the terms of operators.
func RoutesOf(e router.Explanation) Routes {
	r := Routes{
		Reads:  ReadRoute{Storages: e.Reads, Rule: string(e.Rule)},
		Writes: WriteRoute{Primary: e.Write.Primary, Others: e.Write.Others, Votes: e.Write.Votes, Mute: e.Write.Mute, Epoch: e.Write.Epoch},
	}
	if e.ReadRefused != nil {
		r.Reads.Refused = e.ReadRefused.Error()
	}
	if e.WriteRefused != nil {
		r.Writes.Refused = e.WriteRefused.Error()
	}
	return r
}

// only is the virtual storage of that name, or the only one if none is named.
func only(view *state.State, name string) (*state.VirtualStorage, error) {
	if err := exists(view, name); err != nil {
		return nil, err
	}
	switch {
	case name != "":
		return view.VirtualStorage(name), nil
	case len(view.VirtualStorages) == 1:
		return &view.VirtualStorages[0], nil
	}
	var names []string
	for i := range view.VirtualStorages {
		names = append(names, view.VirtualStorages[i].Name)
	}
	return nil, Errorf(Invalid, "there are %d virtual storages, name one of them: %s", len(names), strings.Join(names, ", "))
}

// inWords adds for people why requests go where they go.
func inWords(r Routes) Routes {
	r.Reads.Storages, r.Writes.Others = orNone(r.Reads.Storages), orNone(r.Writes.Others)
	switch r.Reads.Rule {
	case "any-in-sync":
		r.Reads.Why = "every storage that is in sync has the same content; the one with the fewest requests is used"
	case "primary-only":
		r.Reads.Why = "a write that only the primary executes may be under way"
	case "primary-first":
		r.Reads.Why = "replicas may differ in what was never acknowledged: all readers use the primary while it can be reached"
	}
	w := &r.Writes
	switch {
	case w.Primary == "":
	case w.Votes:
		w.Why = "the primary is the first in-sync storage of the succession; every in-sync storage votes"
	case w.Eventual:
		w.Why = "the primary alone, because consistency.mode is \"eventual\""
	default:
		w.Why = "the primary alone, because " + w.Mute + " cannot vote: its connection has no backchannel"
	}
	switch {
	case !r.Leased:
		w.Waits = "the instance that answers has no lease: its writes wait for one, and its reads are passed on to another instance"
	case w.Paused:
		w.Waits = "writes wait for a switchover"
	}
	return r
}

// replicas are the storages of a virtual storage as far as they concern a repository.
func (s *Service) replicas(vs *state.VirtualStorage, e *state.Entry) []Replica {
	primary, ok := vs.Primary(e)
	list := make([]Replica, 0, len(vs.Succession))
	for i := range vs.Succession {
		st := &vs.Succession[i]
		reach := s.reach(vs.Name, st)
		r := Replica{
			Storage: st.Name, State: st.State, Why: st.Why, Reachable: reach.Reachable, Role: "in-sync",
			InDoubt: doubtful(e, st.Name), Conflict: e.InConflict(st.Name),
		}
		if reach.Err != nil {
			r.Error = reach.Err.Error()
		}
		switch {
		case e.IsBehind(st.Name):
			r.Role, r.Removes = "behind", e.Deleted
		case ok && st.Name == primary.Name:
			r.Role = "primary"
		case st.State == state.Out || st.State == state.Backfilling:
			r.Role = "not-serving"
		}
		list = append(list, r)
	}
	return list
}

// doubtful tells whether an in-doubt intent may have changed the replica on a storage.
func doubtful(e *state.Entry, storage string) bool {
	return e != nil && slices.ContainsFunc(e.Intents, func(m state.Intent) bool {
		return m.InDoubt != nil && slices.Contains(m.InDoubt.Targets, storage)
	})
}

// entry is the entry with the facts about the incarnations whose intents it has.
func (s *Service) entry(ctx context.Context, view *state.State, e *state.Entry) *Entry {
	answer := &Entry{
		Intents: []Intent{}, Behind: []string{}, Deleted: e.Deleted, Advancing: e.Advancing, Conflicts: e.Conflicts, Changed: e.Changed,
	}
	answer.Behind = append(answer.Behind, e.Behind...)
	var leases map[string]int64
	if len(e.Intents) > 0 {
		leases = s.leases(ctx)
	}
	for _, m := range e.Intents {
		intent := Intent{
			Incarnation: m.Incarnation, Life: LifeRetired, Kind: string(m.Kind), Targets: m.Targets, BoundMillis: m.BoundMillis, InDoubt: m.InDoubt,
		}
		if in := view.Instance(m.Incarnation); in != nil {
			intent.Instance, intent.Life = in.Name, LifeLive
			later := func(other state.Instance) bool { return other.ID == in.ID && other.Incarnation > in.Incarnation }
			if slices.ContainsFunc(view.Instances, later) {
				intent.Life = LifeReplaced
			} else if left, known := leases[in.ID]; known {
				intent.LeaseMillis = &left
			}
		}
		answer.Intents = append(answer.Intents, intent)
	}
	return answer
}

// leases are the remaining times of the lease of each instance, by its id; nil if the leader
// cannot be asked.
func (s *Service) leases(ctx context.Context) map[string]int64 {
	if s.Control == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, explainTimeout)
	defer cancel()
	instances, err := s.Control.Instances(ctx)
	if err != nil || instances.OwnView || instances.Leader == "" {
		return nil
	}
	leases := make(map[string]int64, len(instances.Instances))
	for _, in := range instances.Instances {
		leases[in.ID] = in.LeaseMillis
	}
	return leases
}

// existence asks an in-sync storage.
func (s *Service) existence(ctx context.Context, key state.Key) Existence {
	ctx, cancel := context.WithTimeout(ctx, explainTimeout)
	defer cancel()
	storage, has, err := s.Exists(ctx, key)
	if err != nil {
		return Existence{Storage: storage, Error: err.Error()}
	}
	return Existence{Storage: storage, Exists: &has}
}

// changesOf are the last changes that concern a repository.
func (s *Service) changesOf(view *state.State, key state.Key, e *Entry) []Event {
	changes := slices.DeleteFunc(changes(view, key.VirtualStorage), func(c Event) bool {
		return c.RelativePath != "" && c.RelativePath != key.RelativePath
	})
	if e != nil {
		changes = append(changes, slices.DeleteFunc(instanceChanges(view), func(c Event) bool {
			return !slices.ContainsFunc(e.Intents, func(m Intent) bool { return m.Instance == c.Instance || m.Life == LifeRetired })
		})...)
	}
	slices.SortStableFunc(changes, func(a, b Event) int { return cmp.Compare(a.Index, b.Index) })
	return changes[max(0, len(changes)-explainChanges):]
}
