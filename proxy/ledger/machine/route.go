package machine

import (
	"errors"
	"fmt"
	"slices"

	"praefect/fsm/state"
	"praefect/proxy/router"
)

// routing routes a write, or names the obstacle: for a while, or permanently.
func (ws *writes) routing(w *write) (why Why, err error) {
	vs := w.keys[0].VirtualStorage
	paused := ws.paused(vs)
	if paused && !ws.mayPrepare(w) {
		return WhyPause, nil
	}
	if !ws.mayRoute() { // ▲ machine-no-lease: without a lease others may have given the primary's role away
		return WhyLease, nil
	}
	if ws.cfg.RefuseConflicts {
		if err := router.RefuseConflict(ws.view, w.involved...); err != nil {
			return "", err
		}
	}
	route, err := router.RouteWrite(ws.view, w.involved, w.votes, ws.reachabilityOf(vs))
	if refusal, ok := errors.AsType[*router.Refusal](err); ok {
		w.obstacle = err
		switch refusal.Kind {
		case router.PrimaryFenced:
			return WhyFenced, nil
		case router.PrimaryUnreachable:
			return WhyUnreachable, nil
		}
		return "", err
	}
	if err != nil {
		return "", err
	}
	if paused && !route.Votes {
		return WhyPause, nil
	}
	w.route = route
	w.generation = ws.connections[storageName{vs, route.Primary}].Generation
	w.first, w.others = route.Primary, w.others[:0]
	for _, name := range route.Others {
		w.others = append(w.others, Destination{Storage: name, Generation: ws.connections[storageName{vs, name}].Generation})
	}
	return "", nil
}

// mayPrepare tells whether a write may be sent under a pause, to wait with its first
// vote: so it has come as far as it can when the pause ends, and not all writes begin at once. It
// takes locks at the storages, which must not keep a write waiting for which the pause waits: no
// instance may have a write under way on the repository.
func (ws *writes) mayPrepare(w *write) bool {
	if !w.votes || w.registered || !ws.servesOn(w.keys[0].VirtualStorage) {
		return false
	}
	return !slices.ContainsFunc(w.on(), func(r *repo) bool { return r.writes > 0 || ws.view.Entry(r.key).HasLive() })
}

// reroute names the primary of now for a write that was sent to its destinations
// already: it must be one of them.
func (ws *writes) reroute(w *write) (why Why, err error) {
	route, err := router.RouteWrite(ws.view, w.involved, false, func(name string) router.Reachability {
		if w.sentTo(name) {
			return router.Reachability{OK: true, FilesystemID: ws.view.VirtualStorage(w.keys[0].VirtualStorage).Storage(name).FilesystemID}
		}
		return router.Reachability{}
	})
	if refusal, ok := errors.AsType[*router.Refusal](err); ok && refusal.Kind == router.PrimaryFenced {
		w.obstacle = err
		return WhyFenced, nil
	}
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrRerouted, err)
	}
	w.route.Primary, w.route.Epoch = route.Primary, route.Epoch
	ws.dropOthers(w, w.mayUse)
	if vs := ws.view.VirtualStorage(w.keys[0].VirtualStorage); !w.mayUse(vs, w.first) {
		return "", ErrRerouted
	}
	return "", nil
}

// knownAt is the index that every leased instance must have applied before the
// write has an effect.
func (ws *writes) knownAt(w *write) state.Index {
	var need state.Index
	for _, r := range w.on() {
		need = max(need, r.openedAt, ws.view.Shrunk(r.key))
	}
	return need
}
