package sim

import (
	"fmt"
	"time"

	"praefect/consensus/elector"
	"praefect/fsm/state"
)

// operate lets an operator do something, at the leader.
func (w *simulation) operate() {
	l := w.leader()
	if l == nil {
		return
	}
	st := pick(w, w.storages...)
	r := elector.Request{Verb: elector.Promote, Storage: st.name, Force: w.chance(0.3)}
	var cmd state.Command
	switch w.rand.IntN(10) {
	case 0, 1:
		r.Verb = elector.Drain
	case 2, 3:
		cmd.Undrain = &state.Undrain{VirtualStorage: virtualStorage, Storage: st.name}
	case 4:
		cmd.Pause = &state.Pause{VirtualStorage: virtualStorage, Until: (w.wall() + 2*time.Second).Milliseconds()}
	case 5:
		cmd.Resume = &state.Resume{VirtualStorage: virtualStorage}
	}
	if cmd == (state.Command{}) {
		w.ask(l, r)
		return
	}
	l.in.run(func(t *task) { l.in.proposer.propose(t, time.Second, cmd) })
}

// ask has the leader carry out a request.
func (w *simulation) ask(l *leader, r elector.Request) {
	w.asked++
	r.ID, r.VirtualStorage, r.By = fmt.Sprint("op-", w.asked), virtualStorage, "operator"
	r.CatchUpFor, r.PauseFor = 3*time.Second, w.between(300*time.Millisecond, 3*time.Second)
	l.in.run(func(t *task) { l.operate(t, r) })
}

func (w *simulation) leader() *leader {
	for _, in := range w.instances {
		if in.up && in.leads != nil && in.leads.leading() {
			return in.leads
		}
	}
	return nil
}

// mend does the work of people once the faults are over, where a fault does not heal by
// itself.
func (w *simulation) mend() {
	l := w.leader()
	vs := w.history.last().VirtualStorage(virtualStorage)
	if l == nil || vs == nil {
		return
	}
	var cmds []state.Command
	if vs.Paused != nil {
		cmds = append(cmds, state.Command{Resume: &state.Resume{VirtualStorage: virtualStorage}})
	}
	for _, s := range vs.Succession {
		if s.State == state.Out && s.Why == state.WhyDrained {
			cmds = append(cmds, state.Command{Undrain: &state.Undrain{VirtualStorage: virtualStorage, Storage: s.Name}})
		}
	}
	if w.now-w.quietSince > 30*time.Second {
		w.mendDisks(l, vs)
		for _, path := range w.paths {
			cmds = append(cmds, w.mendRepository(l.in, vs, path)...)
		}
	}
	if len(cmds) > 0 {
		l.in.run(func(t *task) { l.in.proposer.propose(t, time.Second, cmds...) })
	}
}

// mendDisks gives the last storage that serves its disk back. Where others serve, one
// with another disk is to be failed over; but if more than half of all storages were
// lost at once, none is failed over before people have looked, and taken one out.
func (w *simulation) mendDisks(l *leader, vs *state.VirtualStorage) {
	var lost []state.Storage
	for _, s := range vs.Succession {
		if s.State == state.Serving && w.storage(s.Name).disk.id != s.FilesystemID {
			lost = append(lost, s)
		}
	}
	for _, s := range lost {
		if !w.serveBeside(w.storage(s.Name)) {
			w.storage(s.Name).bringBack(s.FilesystemID)
			return
		}
	}
	if 2*len(lost) > len(vs.Succession) {
		w.ask(l, elector.Request{Verb: elector.Drain, Storage: lost[0].Name, Force: true})
	}
}

// ended are the in-doubt intents of which no effect can come any more.
func (in *instance) ended(e *state.Entry) (ended []state.DoubtRef) {
	for i := range e.Intents {
		if m := &e.Intents[i]; m.InDoubt != nil && in.firstSeen.Left(in.now(), m.InDoubt) == 0 {
			ended = append(ended, state.DoubtRef{Incarnation: m.Incarnation, At: m.InDoubt.At})
		}
	}
	return ended
}

// mendRepository resolves the cases that only people can: a repository of which no storage
// has every write; or one that its primary lacks and others have, of which no instance
// can tell whether it was deleted.
func (w *simulation) mendRepository(in *instance, vs *state.VirtualStorage, path string) []state.Command {
	e := w.history.last().Entry(key(path))
	if e == nil {
		return nil
	}
	p, ok := vs.Primary(e)
	if ok && len(e.Conflicts) > 0 && !e.HasLive() {
		return []state.Command{{AcceptLoss: &state.AcceptLoss{Key: key(path), Storage: p.Name, Ended: in.ended(e)}}}
	}
	if !ok && vs.Unavailable(e) {
		for _, s := range vs.Succession {
			if s.State == state.Serving && w.storage(s.Name).disk.id == s.FilesystemID {
				return []state.Command{{AcceptLoss: &state.AcceptLoss{Key: key(path), Storage: s.Name, Ended: in.ended(e)}}}
			}
		}
	}
	if !ok || e.Deleted || e.HasDoubt() {
		return nil
	}
	if found, onDisk := w.check.onDisk(&p, path); onDisk && found == nil {
		w.deleteAgain(in, path)
	}
	return nil
}

func (w *simulation) deleteAgain(in *instance, path string) {
	r := &request{path: path, deletes: true, timeout: time.Second}
	w.check.begin(r, in)
	r.done = func(a answered) {
		if a.err == nil {
			w.check.ack(r, a.decided)
		}
	}
	w.cov.Mended++
	w.tracef("op %d: %s is deleted again", r.ops, path)
	in.run(func(t *task) { in.ledger.write(t, r) })
}
