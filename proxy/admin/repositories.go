package admin

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"praefect/fsm/state"
)

// Catalogue lets the service list the repositories that nothing is wrong with.
type Catalogue interface {
	// Paths returns the relative paths of a virtual storage's repositories that begin with the prefix
	// and come after one, at most limit, in the order of their bytes. An error means that Postgres
	// cannot be asked now.
	Paths(ctx context.Context, virtualStorage, prefix, after string, limit int) ([]string, error)
}

// RepositoryFilter chooses repositories by their fault.
type RepositoryFilter string

// The filters. All of them but FilterAll look at the ledger alone: their cost depends on how many
// repositories are listed there, and not on how many there are.
const (
	FilterAll         RepositoryFilter = ""
	FilterListed      RepositoryFilter = "listed"      // has an entry in the ledger
	FilterBehind      RepositoryFilter = "behind"      // a storage misses a write
	FilterConflict    RepositoryFilter = "conflict"    // replicas of which neither contains the other
	FilterUnavailable RepositoryFilter = "unavailable" // no in-sync storage serves and is reachable
	FilterInDoubt     RepositoryFilter = "in-doubt"    // a write ended with an unknown outcome
	FilterWritten     RepositoryFilter = "written"     // a write is, or was a moment ago, under way
)

// RepositoryFilters are all filters but FilterAll.
func RepositoryFilters() []RepositoryFilter {
	return []RepositoryFilter{FilterListed, FilterBehind, FilterConflict, FilterUnavailable, FilterInDoubt, FilterWritten}
}

// RepositoriesRequest asks for repositories. Its answer comes in pages.
type RepositoriesRequest struct {
	VirtualStorage string `json:"virtual_storage,omitempty"` // empty for all
	// Prefix limits the answer to relative paths that begin with it.
	Prefix string           `json:"prefix,omitempty"`
	Filter RepositoryFilter `json:"filter,omitempty"`
	// Storage limits the answer to repositories that this storage is behind for.
	Storage string `json:"storage,omitempty"`
	// After is the last repository of the page before; nil for the first page.
	After *state.Key `json:"after,omitempty"`
	// Limit bounds the page; 0, or more than MaxPage, is MaxPage.
	Limit int `json:"limit,omitempty"`
}

// RepositoriesResponse is one page of them, by virtual storage and path.
type RepositoriesResponse struct {
	Schema       int                `json:"schema"`
	Instance     string             `json:"instance"`
	Repositories []ListedRepository `json:"repositories"`
	// More tells that there may be another page.
	More bool `json:"more,omitempty"`
}

// ListedRepository is one repository in a RepositoriesResponse.
type ListedRepository struct {
	VirtualStorage string `json:"virtual_storage"`
	RelativePath   string `json:"relative_path"`
	// State is clean, or the fault: the filter that says most.
	State string `json:"state"`
	// Primary is the storage that takes its writes, empty if none does.
	Primary string   `json:"primary"`
	Behind  []string `json:"behind"`
	// Available tells that it can be read.
	Available bool `json:"available"`
}

// repositories lists repositories. FilterAll asks Postgres, the other filters ask no other process.
func (s *Service) repositories(ctx context.Context, r RepositoriesRequest) (RepositoriesResponse, error) {
	view := s.Node.View()
	if err := exists(view, r.VirtualStorage); err != nil {
		return RepositoriesResponse{}, err
	}
	if r.Filter != FilterAll && !slices.Contains(RepositoryFilters(), r.Filter) {
		return RepositoriesResponse{}, Errorf(Invalid, "no filter %q: want one of %q", r.Filter, RepositoryFilters())
	}
	if r.Storage != "" && r.Filter == FilterAll {
		r.Filter = FilterBehind
	}
	response := RepositoriesResponse{Schema: Schema, Instance: s.cfg.Instance, Repositories: []ListedRepository{}}
	limit := page(r.Limit)
	for i := range view.VirtualStorages {
		vs := &view.VirtualStorages[i]
		if r.VirtualStorage != "" && r.VirtualStorage != vs.Name || r.After != nil && r.After.VirtualStorage > vs.Name {
			continue
		}
		after := ""
		if r.After != nil && r.After.VirtualStorage == vs.Name {
			after = r.After.RelativePath
		}
		reachable := s.reachable(vs)
		add := func(path string, e *state.Entry) (more bool) {
			if len(response.Repositories) == limit {
				response.More = true
				return false
			}
			response.Repositories = append(response.Repositories, listed(vs, path, e, reachable))
			return true
		}
		if r.Filter != FilterAll {
			eachListed(view, vs, r, after, reachable, add)
		} else if err := s.eachCatalogued(ctx, view, vs, r.Prefix, after, limit+1, add); err != nil {
			return RepositoriesResponse{}, err
		}
		if response.More {
			break
		}
	}
	return response, nil
}

// eachListed calls add for the entries of the ledger that a request asks for, until it returns
// false. Entries before the prefix or on former pages cost nothing.
func eachListed(view *state.State, vs *state.VirtualStorage, r RepositoriesRequest, after string, reachable map[string]bool, add func(string, *state.Entry) bool) {
	view.From(state.Key{VirtualStorage: vs.Name, RelativePath: max(after, r.Prefix)}, func(k state.Key, e *state.Entry) bool {
		switch {
		case !strings.HasPrefix(k.RelativePath, r.Prefix):
			return false // the order of the keys has left the prefix behind
		case after != "" && k.RelativePath <= after, !passes(vs, e, r.Filter, reachable), r.Storage != "" && !e.IsBehind(r.Storage):
			return true
		}
		return add(k.RelativePath, e)
	})
}

// eachCatalogued is eachListed for the repositories of the catalogue, of which it looks at no more
// than limit.
func (s *Service) eachCatalogued(ctx context.Context, view *state.State, vs *state.VirtualStorage, prefix, after string, limit int, add func(string, *state.Entry) bool) error {
	if s.Catalogue == nil {
		return errNoControl()
	}
	paths, err := s.Catalogue.Paths(ctx, vs.Name, prefix, after, min(limit, MaxPage))
	if err != nil {
		return away(ctx, fmt.Errorf("%w; the repositories that something is wrong with are listed without Postgres: give a filter", err))
	}
	for _, path := range paths {
		if !add(path, view.Entry(state.Key{VirtualStorage: vs.Name, RelativePath: path})) {
			return nil
		}
	}
	return nil
}

// passes tells whether an entry is one that a filter asks for.
func passes(vs *state.VirtualStorage, e *state.Entry, f RepositoryFilter, reachable map[string]bool) bool {
	switch f {
	case FilterBehind:
		return len(e.Behind) > 0
	case FilterConflict:
		return len(e.Conflicts) > 0
	case FilterUnavailable:
		return !available(vs, e, reachable)
	case FilterInDoubt:
		return e.HasDoubt()
	case FilterWritten:
		return e.HasLive()
	}
	return true
}

// listed is a repository with the word that says most about it.
func listed(vs *state.VirtualStorage, path string, e *state.Entry, reachable map[string]bool) ListedRepository {
	l := ListedRepository{VirtualStorage: vs.Name, RelativePath: path, State: "clean", Behind: []string{}, Available: available(vs, e, reachable)}
	if primary, ok := vs.Primary(e); ok {
		l.Primary = primary.Name
	}
	if e != nil {
		l.Behind = append(l.Behind, e.Behind...)
	}
	for _, f := range []RepositoryFilter{FilterUnavailable, FilterConflict, FilterBehind, FilterInDoubt, FilterWritten, FilterListed} {
		if (e != nil || f == FilterUnavailable) && passes(vs, e, f, reachable) {
			l.State = string(f)
			break
		}
	}
	return l
}

// Repositories asks for one page of repositories.
func (c *Client) Repositories(ctx context.Context, request RepositoriesRequest) (RepositoriesResponse, error) {
	return ask(ctx, c, rpcRepositories, request)
}
