package sim

import (
	"slices"
	"time"

	"praefect/fsm/state"
	"praefect/replicator/plan"
)

// backfill backfills storages that are new, or came with another disk, while the
// instance leads.
func (d *driver) backfill(t *task) {
	for {
		t.sleep(d.in.w.between(200*time.Millisecond, 600*time.Millisecond))
		if !d.in.raft.ready {
			continue
		}
		vs := d.in.raft.view.VirtualStorage(virtualStorage)
		if vs == nil {
			continue
		}
		var due []state.Storage
		for _, s := range vs.Succession {
			if s.State == state.Backfilling && s.FilesystemID != "" && d.usable(d.in.raft.view, s.Name) {
				due = append(due, s)
			}
		}
		if len(due) > 0 && d.scan(t, due) {
			d.in.w.cov.Backfills++
		}
	}
}

// scan deals with every repository there is, and has the storages serve.
func (d *driver) scan(t *task, backfillings []state.Storage) bool {
	var sources []*link
	for _, s := range d.in.raft.view.VirtualStorage(virtualStorage).Succession {
		switch s.State {
		case state.Serving:
			if !d.usable(d.in.raft.view, s.Name) {
				return false
			}
			sources = append(sources, d.in.link(s.Name))
		case state.Fenced:
			return false
		}
	}
	if len(sources) == 0 {
		return false
	}
	if !d.compareAll(t, backfillings) {
		return false
	}
	// WalkRepos of every serving storage, and the ledger.
	var paths []string
	walk := func(l *link) bool {
		for _, path := range d.in.w.paths {
			c, err := l.look(t, path)
			if err != nil {
				return false
			}
			if c != nil && !slices.Contains(paths, path) {
				paths = append(paths, path)
			}
		}
		return true
	}
	for _, l := range sources {
		if !walk(l) {
			return false
		}
	}
	for _, path := range paths {
		if !d.deal(t, path, backfillings) {
			return false
		}
	}
	dealt := slices.Clone(paths)
	d.in.raft.view.Each(virtualStorage, func(k state.Key, e *state.Entry) bool {
		if !slices.Contains(paths, k.RelativePath) && slices.ContainsFunc(backfillings, func(f state.Storage) bool { return e.IsBehind(f.Name) }) {
			paths = append(paths, k.RelativePath)
		}
		return true
	})
	for _, path := range paths {
		if !slices.Contains(dealt, path) && !d.deal(t, path, backfillings) {
			return false
		}
	}
	var cmds []state.Command
	for _, f := range backfillings {
		cmds = append(cmds, state.Command{Rejoin: &state.Rejoin{
			VirtualStorage: virtualStorage, Storage: f.Name, FilesystemID: f.FilesystemID, Backfilled: f.Since,
		}})
	}
	_, err := d.in.proposer.propose(t, d.in.w.setup.timeout, cmds...)
	return err == nil
}

// deal deals with one repository: it was declared in sync on each storage, or
// the ledger says that they are behind.
func (d *driver) deal(t *task, path string, backfillings []state.Storage) bool {
	if d.alikeEverywhere(t, path, backfillings) {
		return true
	}
	for range 8 {
		again, synced, err := d.repair(t, path, true)
		missing := slices.ContainsFunc(backfillings, func(f state.Storage) bool {
			return !slices.Contains(synced, f.Name) && !d.in.raft.view.Entry(key(path)).IsBehind(f.Name)
		})
		if err == nil && again == 0 && !missing {
			return true
		}
		t.sleep(min(max(again, 200*time.Millisecond), time.Second))
		if !missing {
			d.in.worker.enqueue(path)
			return true
		}
	}
	return false
}

// alikeEverywhere tells whether a clean repository is the same on the primary and
// on all storages being backfilled.
func (d *driver) alikeEverywhere(t *task, path string, backfillings []state.Storage) bool {
	view := d.in.raft.view
	primary, ok := view.PrimaryOf(key(path))
	if !ok || view.Entry(key(path)) != nil {
		return false
	}
	want, err := d.in.link(primary.Name).look(t, path)
	if err != nil || want == nil {
		return false
	}
	for _, f := range backfillings {
		if got, err := d.in.link(f.Name).look(t, path); err != nil || plan.Unlike(want.replica(), got.replica()) != "" {
			return false
		}
	}
	return true
}
