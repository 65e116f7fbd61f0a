package console

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"praefect/fsm/state"
	"praefect/proxy/admin"
)

const (
	// page is how many rows one answer has.
	page = 100
	// searched is how many entries of the ledger one search looks at: a page asks for more.
	searched = 20_000
)

// found is one page of a search among the repositories.
type found struct {
	Repositories []row `json:"repositories"`
	// After is where the search goes on, nil if it is at its end.
	After *state.Key `json:"after"`
}

// row is one repository of a search.
type row struct {
	admin.Repository
	// Clean tells that no storage misses a write of it.
	Clean bool `json:"clean,omitempty"`
}

// repositories searches the repositories of which a storage misses a write or, with "all", all
// whose path begins with the text, which asks Postgres.
func (c *Console) repositories(w http.ResponseWriter, r *http.Request, _ *session) {
	asked := r.URL.Query()
	request := admin.DatalossRequest{VirtualStorage: asked.Get("virtual_storage")}
	if asked.Has("after_path") {
		request.After = &state.Key{VirtualStorage: asked.Get("after_vs"), RelativePath: asked.Get("after_path")}
	}
	wanted := filter{text: asked.Get("text"), only: asked.Get("only")}
	ask(c, w, r, func(cluster Cluster, ctx context.Context, request admin.DatalossRequest) (found, error) {
		if wanted.only == "all" {
			return catalogued(ctx, cluster, request, wanted)
		}
		return search(ctx, cluster, request, wanted)
	}, request)
}

// filter tells which repositories a search wants.
type filter struct {
	text string // in the path, in any case
	only string // "all", "conflict", "unavailable" or empty
}

func (f filter) wants(r admin.Repository) bool {
	switch {
	case f.only == "conflict" && len(r.Conflicts) == 0, f.only == "unavailable" && r.Available:
		return false
	}
	return strings.Contains(strings.ToLower(r.RelativePath), strings.ToLower(f.text))
}

// search goes through the ledger until a page is full, or enough was looked at.
func search(ctx context.Context, cluster Cluster, request admin.DatalossRequest, f filter) (found, error) {
	result := found{Repositories: []row{}}
	for looked := 0; ; {
		answered, err := cluster.Dataloss(ctx, request)
		if err != nil {
			return found{}, err
		}
		for _, one := range answered.Repositories {
			looked++
			key := state.Key{VirtualStorage: one.VirtualStorage, RelativePath: one.RelativePath}
			request.After = &key
			if f.wants(one) {
				result.Repositories = append(result.Repositories, row{Repository: one})
			}
			if len(result.Repositories) == page || looked == searched {
				result.After = &key
				return result, nil
			}
		}
		if !answered.More {
			return result, nil
		}
	}
}

// catalogued returns one page of all repositories.
func catalogued(ctx context.Context, cluster Cluster, request admin.DatalossRequest, f filter) (found, error) {
	answered, err := cluster.Repositories(ctx, admin.RepositoriesRequest{
		VirtualStorage: request.VirtualStorage, Prefix: f.text, After: request.After, Limit: page,
	})
	if err != nil {
		return found{}, err
	}
	result := found{Repositories: []row{}}
	for _, one := range answered.Repositories {
		result.Repositories = append(result.Repositories, row{
			Repository: admin.Repository{VirtualStorage: one.VirtualStorage, RelativePath: one.RelativePath, Available: one.Available, Behind: one.Behind},
			Clean:      len(one.Behind) == 0,
		})
		if answered.More {
			result.After = &state.Key{VirtualStorage: one.VirtualStorage, RelativePath: one.RelativePath}
		}
	}
	return result, nil
}

// explain tells everything that is known of one repository.
func (c *Console) explain(w http.ResponseWriter, r *http.Request, _ *session) {
	asked := r.URL.Query()
	ask(c, w, r, Cluster.Explain, admin.ExplainRequest{VirtualStorage: asked.Get("virtual_storage"), RelativePath: asked.Get("relative_path")})
}

// queue tells one page of replication jobs.
func (c *Console) queue(w http.ResponseWriter, r *http.Request, _ *session) {
	asked := r.URL.Query()
	after, err := strconv.ParseInt(asked.Get("after"), 10, 64)
	if err != nil && asked.Get("after") != "" {
		refuse(w, http.StatusBadRequest, "the id of a job is a number")
		return
	}
	ask(c, w, r, Cluster.QueueList, admin.QueueListRequest{
		VirtualStorage: asked.Get("virtual_storage"), RelativePath: asked.Get("relative_path"), State: asked.Get("state"), After: after, Limit: page,
	})
}

// history returns the history that the cluster keeps.
func (c *Console) history(w http.ResponseWriter, r *http.Request, _ *session) {
	ask(c, w, r, Cluster.History, admin.HistoryRequest{VirtualStorage: r.URL.Query().Get("virtual_storage")})
}

// ask answers a request by a question to the cluster.
func ask[Request, Answer any](c *Console, w http.ResponseWriter, r *http.Request, put func(Cluster, context.Context, Request) (Answer, error), request Request) {
	ctx, cancel := context.WithTimeout(r.Context(), askTimeout)
	defer cancel()
	answered, err := put(c.cluster(""), ctx, request)
	if err != nil {
		fail(w, err)
		return
	}
	answer(w, answered)
}
