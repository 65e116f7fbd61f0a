package machine

import (
	"errors"
	"slices"
	"time"

	"praefect/fsm/routing"
	"praefect/fsm/state"
	"praefect/proxy/router"
)

// facts are what events have brought, and the Step under way. Every part reads them.
type facts struct {
	cfg     Config
	now     time.Duration // of the Step under way
	effects []Effect      // of the Step under way
	alarm   time.Duration // when a Tick is needed at the latest, beside those for pauses and closes

	view        *state.State
	incarnation state.Incarnation
	lease       routing.Lease
	watermark   state.Index
	pauses      []routing.WritePause // the ones that have not ended
	connections map[storageName]*Connection
	retired     bool
	stopped     bool
}

type storageName struct{ virtualStorage, storage string }

// never is an instant that does not come.
const never = time.Duration(1<<63 - 1)

func (f *facts) emit(e Effect) { f.effects = append(f.effects, e) }

// samePause tells whether two are one pause, whose end may have been put off.
func samePause(a, b routing.WritePause) bool {
	return a.ID == b.ID && a.VirtualStorage == b.VirtualStorage
}

// endPauses forgets the pauses whose time is up.
func (f *facts) endPauses() (ended bool) {
	over := func(h routing.WritePause) bool { return h.Until <= f.now }
	if !slices.ContainsFunc(f.pauses, over) {
		return false
	}
	f.pauses = slices.DeleteFunc(f.pauses, over)
	return true
}

// paused reports whether new writes of the virtual storage are to wait.
func (f *facts) paused(virtualStorage string) bool {
	return slices.ContainsFunc(f.pauses, func(h routing.WritePause) bool { return h.VirtualStorage == virtualStorage })
}

// servesOn reports whether no pause of the virtual storage takes a storage away.
func (f *facts) servesOn(virtualStorage string) bool {
	return !slices.ContainsFunc(f.pauses, func(h routing.WritePause) bool { return h.VirtualStorage == virtualStorage && !h.Serving })
}

// mayRoute reports whether this instance has a lease now, and the view that it
// was given for: an older one may not know of a fence or an intent that others
// took for granted.
func (f *facts) mayRoute() bool { return f.lease.Valid(f.now, f.view.Index) }

// errGone is why a storage is not used whose connection turned out to be gone.
var errGone = errors.New("the connection was lost")

// connect takes the state of all connections.
func (f *facts) connect(storages []Connection) {
	f.connections = make(map[storageName]*Connection, len(storages))
	for _, r := range storages {
		f.connections[storageName{r.VirtualStorage, r.Storage}] = &r
	}
}

// lost notes that a connection is of no use.
func (f *facts) lost(name storageName, generation uint64) {
	if r := f.connections[name]; r != nil && r.Generation == generation {
		r.Reachability = router.Reachability{Why: errGone}
	}
}

// reachabilityOf looks at the connections of one virtual storage for the router.
func (f *facts) reachabilityOf(virtualStorage string) router.ReachabilityOf {
	return func(storage string) router.Reachability {
		if r := f.connections[storageName{virtualStorage, storage}]; r != nil {
			return r.Reachability
		}
		return router.Reachability{}
	}
}
