package sim

import (
	"math/rand/v2"
	"time"

	"praefect/consensus/elector"
	"praefect/fsm/state"
)

// refills tells in which schedules operators restore storages from backups. It draws from nothing:
// all other schedules stay as they are.
func refills(seed uint64) bool { return seed%32 == 26 || seed%32 == 31 }

// refillStorages has operators restore storages until the faults are over: most are taken out
// before. One request in four is for a storage that is in use, which the state must refuse.
func (w *simulation) refillStorages() {
	if !refills(w.seed) {
		return
	}
	draw := rand.New(rand.NewPCG(w.seed, 29))
	w.backups = draw
	w.repeatFrom(draw, upTo(draw, 2*time.Second), 0, time.Second, func() {
		w.refill(pickOf(draw, w.storages...), draw.IntN(4) == 0)
	})
}

// refill asks for a storage to be backfilled again, or to be drained first.
func (w *simulation) refill(s *storage, hasty bool) {
	l, vs := w.leader(), w.history.last().VirtualStorage(virtualStorage)
	if l == nil || vs == nil || vs.Storage(s.name) == nil {
		return
	}
	if vs.Storage(s.name).State != state.Out && !hasty {
		w.ask(l, elector.Request{Verb: elector.Drain, Storage: s.name})
		return
	}
	cmd := state.Command{Refill: &state.Refill{VirtualStorage: virtualStorage, Storage: s.name, By: "operator"}}
	l.in.run(func(t *task) { l.in.proposer.propose(t, time.Second, cmd) })
}

// restored puts a backup into a storage that is to be backfilled again: it has the content of the
// storage some changes ago.
func (w *simulation) restored(name string) {
	w.cov.Refills++
	s := w.storage(name)
	w.tracef("%s is restored from a backup", name)
	for _, path := range w.paths {
		before := s.disk.repos[path]
		if before == nil {
			continue
		}
		n := w.backups.IntN(len(before.ops) + 1)
		if n == 0 {
			delete(s.disk.repos, path)
			continue
		}
		backup := newContent(before.ops[:n:n], false)
		backup.attributes = before.attributes
		s.disk.repos[path] = backup
	}
}
