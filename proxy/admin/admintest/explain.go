package admintest

import (
	"context"
	"errors"

	"praefect/fsm/state"
	"praefect/proxy/admin"
	"praefect/proxy/router"
)

// Absent makes the storages say that they do not have a repository. They have all others.
func (c *Cluster) Absent(path string) {
	c.locked(func() { c.absent[keyOf(path)] = true })
}

// Conflict makes a repository one that only the first storage has, and of which another one
// has something else.
func (c *Cluster) Conflict(path, primary string, found state.Conflict) {
	c.t.Helper()
	c.WrittenOnlyTo(path, primary)
	key := keyOf(path)
	c.Apply(state.Command{Open: &state.OpenIntent{VirtualStorage: VirtualStorage, Paths: []string{path}, Kind: state.PrimaryOnly}})
	c.Apply(state.Command{MarkConflict: &state.MarkConflict{Key: key, Conflicts: []state.Conflict{found}, AsOf: c.View().Entry(key).Changed}})
	c.Apply(state.Command{Close: &state.CloseIntent{VirtualStorage: VirtualStorage, Paths: []string{path}}})
}

// Died has praefect-2 write a repository on the storages, and die in the middle of it. It
// returns the incarnation.
func (c *Cluster) Died(path string, targets ...string) state.Incarnation {
	c.t.Helper()
	c.Apply(state.Command{Register: &state.Register{ID: "id-2", Name: "praefect-2"}})
	dead := state.Incarnation(c.View().Index)
	c.locked(func() {
		if err := c.applyAs(dead, state.Command{Open: &state.OpenIntent{
			VirtualStorage: VirtualStorage, Paths: []string{path}, Kind: state.PrimaryOnly, Scope: state.Scope{BoundMillis: 10_000, Targets: targets},
		}}); err != nil {
			c.t.Fatal(err)
		}
	})
	c.Apply(state.Command{Retire: &state.Retire{Incarnation: dead, Proof: state.ProofOperator}})
	return dead
}

// routes are the decisions of the real router about the cluster.
func (c *Cluster) routes(key state.Key) admin.Routes {
	e := router.Explain(c.View(), key, true, func(storage string) router.Reachability {
		reach := c.Observation(key.VirtualStorage, storage)
		return router.Reachability{OK: reach.Reachable, FilesystemID: reach.FilesystemID, Backchannel: reach.Backchannel, Why: reach.Err}
	})
	r := admin.RoutesOf(e)
	r.Leased = true
	return r
}

// exists asks the first in-sync storage that is reachable.
func (c *Cluster) exists(_ context.Context, key state.Key) (storage string, exists bool, err error) {
	view := c.View()
	for st := range view.VirtualStorage(key.VirtualStorage).InSync(view.Entry(key)) {
		if c.Observation(key.VirtualStorage, st.Name).Reachable {
			c.mu.Lock()
			defer c.mu.Unlock()
			return st.Name, !c.absent[key], nil
		}
	}
	return "", false, errors.New("no in-sync storage of the repository can be reached: connection refused")
}
