package admin

import (
	"cmp"
	"context"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/fsm/state"
)

// conflictsPerPage bounds the conflicts on one page, which are much longer than the
// rest: with all of their texts at their limit it stays below gRPC's 4 MiB.
const conflictsPerPage = 400

// Dataloss lists the repositories of which a storage misses an acknowledged
// write. Each page is taken from the newest state.
func (s *Service) Dataloss(_ context.Context, request DatalossRequest) (DatalossResponse, error) {
	view := s.Node.View()
	if err := exists(view, request.VirtualStorage); err != nil {
		return DatalossResponse{}, err
	}
	reachable := make(map[string]map[string]bool, len(view.VirtualStorages))
	for i := range view.VirtualStorages {
		reachable[view.VirtualStorages[i].Name] = s.reachable(&view.VirtualStorages[i])
	}
	response := DatalossResponse{Schema: Schema, Repositories: []Repository{}}
	limit, conflicts := page(request.Limit), 0
	eachAfter(view, request, func(k state.Key, e *state.Entry) bool {
		wanted := len(e.Behind) > 0 && (request.After == nil || request.After.Compare(k) < 0)
		if !wanted {
			return true
		}
		if len(response.Repositories) == limit || conflicts+len(e.Conflicts) > conflictsPerPage {
			response.More = true
			return false
		}
		conflicts += len(e.Conflicts)
		response.Repositories = append(response.Repositories, Repository{
			VirtualStorage: k.VirtualStorage, RelativePath: k.RelativePath,
			Available: available(view.VirtualStorage(k.VirtualStorage), e, reachable[k.VirtualStorage]),
			Behind:    e.Behind, Conflicts: e.Conflicts,
		})
		return true
	})
	return response, nil
}

// eachAfter calls fn for the entries that a request asks for, until it returns false. Entries on
// former pages cost nothing.
func eachAfter(view *state.State, request DatalossRequest, fn func(state.Key, *state.Entry) bool) {
	for i := range view.VirtualStorages {
		from := state.Key{VirtualStorage: view.VirtualStorages[i].Name}
		if request.VirtualStorage != "" && request.VirtualStorage != from.VirtualStorage {
			continue
		}
		after := request.After
		switch {
		case after == nil:
		case after.VirtualStorage > from.VirtualStorage:
			continue
		case after.VirtualStorage == from.VirtualStorage:
			from.RelativePath = after.RelativePath
		}
		if request.RelativePath != "" {
			one := state.Key{VirtualStorage: from.VirtualStorage, RelativePath: request.RelativePath}
			if e := view.Entry(one); e != nil && !fn(one, e) {
				return
			}
			continue
		}
		more := true
		view.From(from, func(k state.Key, e *state.Entry) bool {
			more = fn(k, e)
			return more
		})
		if !more {
			return
		}
	}
}

// History tells the changes of the virtual storages, in the order in which they were agreed on.
func (s *Service) History(_ context.Context, request HistoryRequest) (HistoryResponse, error) {
	view := s.Node.View()
	if err := exists(view, request.VirtualStorage); err != nil {
		return HistoryResponse{}, err
	}
	changes := changes(view, request.VirtualStorage)
	if request.VirtualStorage == "" {
		changes = append(changes, instanceChanges(view)...)
	}
	slices.SortStableFunc(changes, func(a, b Event) int { return cmp.Compare(a.Index, b.Index) })
	changes = slices.DeleteFunc(changes, func(e Event) bool { return e.Index <= request.After })
	if limit := page(request.Limit); len(changes) > limit {
		changes = changes[len(changes)-limit:]
	}
	return HistoryResponse{Schema: Schema, Instance: s.cfg.Instance, Changes: changes}, nil
}

// changes are the changes that the state remembers of a virtual storage, or of all.
func changes(view *state.State, virtualStorage string) []Event {
	changes := []Event{}
	for i := range view.VirtualStorages {
		vs := &view.VirtualStorages[i]
		if virtualStorage != "" && virtualStorage != vs.Name {
			continue
		}
		for _, c := range vs.History {
			changes = append(changes, Event{
				VirtualStorage: vs.Name, Index: c.Index, Epoch: c.Epoch, Time: time.UnixMilli(c.Time).UTC(),
				Change: cmp.Or(c.What, string(c.To), "removed"), Storage: c.Storage, Why: c.Why, By: c.By, RelativePath: c.RelativePath,
			})
		}
	}
	return changes
}

// instanceChanges are the changes that the state remembers of instances.
func instanceChanges(view *state.State) []Event {
	var changes []Event
	for _, c := range view.InstanceHistory {
		changes = append(changes, Event{
			Index: c.Index, Time: time.UnixMilli(c.Time).UTC(), Change: c.What, Instance: c.Instance, Why: c.Why, By: c.By,
		})
	}
	return changes
}

// QueueList lists replication jobs. It is UNAVAILABLE while Postgres is.
func (s *Service) QueueList(ctx context.Context, request QueueListRequest) (QueueListResponse, error) {
	if err := exists(s.Node.View(), request.VirtualStorage); err != nil {
		return QueueListResponse{}, err
	}
	if states := []string{"", "ready", "in_progress", "failed", "dead"}; !slices.Contains(states, request.State) {
		return QueueListResponse{}, status.Errorf(codes.InvalidArgument, "no state %q of a job: want one of %q", request.State, states[1:])
	}
	request.Limit = page(request.Limit)
	jobs, err := s.Repair.Jobs(ctx, request)
	if err != nil {
		return QueueListResponse{}, away(ctx, err)
	}
	return QueueListResponse{Schema: Schema, Jobs: orNone(jobs), More: len(jobs) == request.Limit}, nil
}

func page(limit int) int {
	if limit <= 0 || limit > MaxPage {
		return MaxPage
	}
	return limit
}
