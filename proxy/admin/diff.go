package admin

import (
	"context"

	"praefect/fsm/state"
)

// Replicas lets the service look at single replicas.
type Replicas interface {
	// Diff compares the references of two replicas. each gets the references that differ, by their
	// names, until it returns false.
	Diff(ctx context.Context, key state.Key, here, there string, each func(state.DifferingReference) bool) (hereHas, thereHas bool, err error)
}

// DiffRequest asks which references differ between two replicas of a repository.
type DiffRequest struct {
	VirtualStorage string `json:"virtual_storage,omitempty"` // may be empty if there is only one
	RelativePath   string `json:"relative_path"`
	// Here and There are two storages of the virtual storage.
	Here  string `json:"here"`
	There string `json:"there"`
	// Limit bounds the references that are named; 0, or more than MaxPage, is MaxPage.
	Limit int `json:"limit,omitempty"`
}

// DiffResponse tells it.
type DiffResponse struct {
	Schema         int      `json:"schema"`
	Instance       string   `json:"instance"`
	VirtualStorage string   `json:"virtual_storage"`
	RelativePath   string   `json:"relative_path"`
	Here           DiffSide `json:"here"`
	There          DiffSide `json:"there"`
	// Differing counts the references that differ, as far as diffLimit; References are the first
	// of them by name.
	Differing  int                        `json:"differing"`
	AtLeast    bool                       `json:"at_least,omitempty"` // the count stopped
	References []state.DifferingReference `json:"references"`
	// Conflict tells that neither replica is known to contain all that the other one has.
	Conflict bool `json:"conflict,omitempty"`
}

// DiffSide is one of the two replicas.
type DiffSide struct {
	Storage string `json:"storage"`
	// Exists tells whether the storage has the repository at all, Role its part for the repository
	// now, as in Replica.
	Exists bool   `json:"exists"`
	Role   string `json:"role"`
	// Only counts the references that only this side has, among the counted ones.
	Only int `json:"only"`
}

// diffLimit bounds the references that one comparison looks at.
const diffLimit = 1 << 20

// diff compares two replicas. It changes nothing, and is no proof of the loss that an operator
// accepts: objects that no reference leads to are not compared.
func (s *Service) diff(ctx context.Context, r DiffRequest) (DiffResponse, error) {
	view := s.Node.View()
	vs, err := only(view, r.VirtualStorage)
	switch {
	case err != nil:
		return DiffResponse{}, err
	case s.Replicas == nil:
		return DiffResponse{}, errNoControl()
	case r.RelativePath == "":
		return DiffResponse{}, Errorf(Invalid, "no repository is named")
	case r.Here == r.There:
		return DiffResponse{}, Errorf(Invalid, "two storages are compared: both are %q", r.Here)
	}
	key := state.Key{VirtualStorage: vs.Name, RelativePath: r.RelativePath}
	entry := view.Entry(key)
	roles := map[string]string{}
	for _, replica := range s.replicas(vs, entry) {
		roles[replica.Storage] = replica.Role
	}
	for _, name := range []string{r.Here, r.There} {
		if vs.Storage(name) == nil {
			return DiffResponse{}, Errorf(NotFound, "virtual storage %q has no storage %q; praefectctl status lists them", vs.Name, name)
		}
	}
	answer := DiffResponse{
		Schema: Schema, Instance: s.cfg.Instance, VirtualStorage: vs.Name, RelativePath: r.RelativePath, References: []state.DifferingReference{},
		Here: DiffSide{Storage: r.Here, Role: roles[r.Here]}, There: DiffSide{Storage: r.There, Role: roles[r.There]},
		Conflict: entry.InConflict(r.Here) || entry.InConflict(r.There),
	}
	limit := page(r.Limit)
	answer.Here.Exists, answer.There.Exists, err = s.Replicas.Diff(ctx, key, r.Here, r.There, func(d state.DifferingReference) bool {
		if answer.Differing == diffLimit {
			answer.AtLeast = true
			return false
		}
		answer.Differing++
		switch {
		case d.There == "":
			answer.Here.Only++
		case d.Here == "":
			answer.There.Only++
		}
		if len(answer.References) < limit {
			answer.References = append(answer.References, state.DifferingReference{Name: state.Shorten(d.Name), Here: d.Here, There: d.There})
		}
		return true
	})
	if err != nil {
		return DiffResponse{}, away(ctx, err)
	}
	if !answer.Here.Exists && !answer.There.Exists {
		return DiffResponse{}, Errorf(NotFound, "neither %q nor %q has %q of %q", r.Here, r.There, r.RelativePath, vs.Name)
	}
	return answer, nil
}

// Diff asks which references differ between two replicas.
func (c *Client) Diff(ctx context.Context, request DiffRequest) (DiffResponse, error) {
	return ask(ctx, c, rpcDiff, request)
}
