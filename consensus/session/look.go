package session

import (
	"context"
	"slices"
	"time"

	"praefect/consensus/health"
	"praefect/consensus/member"
	"praefect/fsm/reachability"
	"praefect/fsm/state"
)

// connected is which connection a storage has, and an index that this instance
// had applied before it was made.
type connected struct {
	generation uint64
	at         state.Index
}

// reports returns this instance's reports on the storages, and whether it is idle.
func (w *messages) reports(view *state.State) (reports []health.Report, unused bool) {
	defer func() { w.s.looked = view.Index }()
	all := w.s.storages.Observations()
	for i, e := range all {
		if vs := view.VirtualStorage(e.VirtualStorage); vs != nil {
			if st := vs.Storage(e.Storage); st != nil {
				all[i].Agreed = st.FilesystemID
			}
		}
	}
	reports = health.Reports(all, health.Doubts{Late: time.Duration(w.s.late.Load()), Limit: w.s.cfg.LateLimit})
	// Looked at with every look, doubt or not: none may be missed.
	for i, e := range all {
		at := w.s.connectedAt(health.Name{VirtualStorage: e.VirtualStorage, Storage: e.Storage}, e, view)
		if reports != nil {
			reports[i].ConnectedAt = at
		}
	}
	return reports, health.Idle(all)
}

// connectedAt returns an index that was applied before the connection was made:
// that of the view when it was last seen not to be there, or our registration,
// before which no connection is made. A connection to a storage that went out
// over it is renewed: a call that was sent over it must not come after the return.
func (s *Session) connectedAt(name health.Name, e reachability.Observation, view *state.State) state.Index {
	c, known := s.connected[name]
	switch {
	case !known:
		c.at = state.Index(s.node.Incarnation())
	case !e.Reachable:
		c.at = view.Index
	}
	c.generation = e.Generation
	if known && e.Reachable && c.generation != s.connected[name].generation && s.connected[name].generation != 0 {
		// It was lost and made anew between two looks: after the one before.
		c.at = s.looked
	}
	s.connected[name] = c
	if !e.Reachable {
		return 0
	}
	if vs := view.VirtualStorage(name.VirtualStorage); vs != nil {
		if st := vs.Storage(name.Storage); st != nil && st.State == state.Out && c.at < st.Since {
			s.storages.Renew(name.VirtualStorage, name.Storage, e.Generation)
		}
	}
	return c.at
}

// probe looks whether the Raft ports of instances refuse connections.
func (s *Session) probe(ctx context.Context, missing []state.Incarnation) {
	view, members := s.node.View(), s.node.Members()
	var refused []state.Incarnation
	for _, inc := range missing {
		in := view.Instance(inc)
		if in == nil {
			continue
		}
		i := slices.IndexFunc(members, func(m member.Member) bool { return m.ID == in.ID })
		if i < 0 {
			continue
		}
		if s.refuses(ctx, members[i]) {
			refused = append(refused, inc)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(refused, s.refused) {
		s.refused = refused
		s.tell()
	}
}

// probeTimeout bounds the look at one port. A port that refuses does so at once.
const probeTimeout = time.Second

func (s *Session) refuses(ctx context.Context, m member.Member) bool {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	is, err := s.node.Refuses(ctx, m)
	return err == nil && is
}
