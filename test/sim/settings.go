package sim

import (
	"math/rand/v2"
	"slices"
	"time"

	"praefect/consensus/settings"
	"praefect/fsm/state"
)

// grows tells in which schedules the instances have different settings for a while. It draws from
// nothing: all other schedules stay as they are.
func grows(seed uint64) bool { return seed%32 == 20 || seed%32 == 27 }

// grow edits the settings of one instance after the other, and restarts each: at first no file has
// the last storage. Some edits are taken back for a while, as typos are.
func (w *simulation) grow() {
	w.edited = make([]bool, len(w.instances))
	w.setup.grows = grows(w.seed) && len(w.storages) > 2
	if !w.setup.grows {
		return
	}
	draw := rand.New(rand.NewPCG(w.seed, 7))
	at := 500*time.Millisecond + upTo(draw, w.setup.span/2)
	for _, i := range draw.Perm(len(w.instances)) {
		w.at(at, func() { w.edit(i, true) })
		if draw.IntN(3) == 0 {
			at += upTo(draw, time.Second)
			w.at(at, func() { w.edit(i, false) })
			at += upTo(draw, time.Second)
			w.at(at, func() { w.edit(i, true) })
		}
		at += 200*time.Millisecond + upTo(draw, 2*time.Second)
	}
}

// edit changes the settings of an instance, and restarts it.
func (w *simulation) edit(i int, has bool) {
	in := w.instances[i]
	w.edited[i] = has
	w.cov.Edits++
	w.tracef("the settings of %s have %s: %v", in.name, w.storages[len(w.storages)-1].name, has)
	if in.up {
		in.crash()
		in.begin()
	}
}

// file are the storages in the settings of an instance.
func (w *simulation) file(in *instance) []string {
	var names []string
	for i, st := range w.storages {
		if i < len(w.storages)-1 || !w.setup.grows || w.edited[in.index] {
			names = append(names, st.name)
		}
	}
	return names
}

// report is an instance's message about its settings.
func (in *instance) report() settings.Report {
	vs := settings.VirtualStorage{Name: virtualStorage}
	for _, name := range in.file {
		vs.Storages = append(vs.Storages, settings.Storage{Name: name})
	}
	return settings.Report{Instance: in.name, VirtualStorages: []settings.VirtualStorage{vs}}.Seal()
}

// learn has the leader know the settings at once where they never differ: waiting for equal reports
// would only change the time of things.
func (l *leader) learn() {
	if l.in.w.setup.grows {
		return
	}
	for _, known := range l.in.raft.view.Instances {
		l.known.Reports[known.Incarnation] = l.in.report()
	}
}

// keeps checks that a virtual storage keeps its storages: no operator removes storages here.
func (w *simulation) keeps(before, after *state.State, d *state.Define) {
	was, now := before.VirtualStorage(virtualStorage), after.VirtualStorage(virtualStorage)
	if was == nil {
		return
	}
	for _, s := range was.Succession {
		if now.Storage(s.Name) == nil {
			w.failf("%s was taken away by settings: defined were %q", s.Name, d.Storages)
		}
	}
	w.cov.Additions += len(now.Succession) - len(was.Succession)
}

// decides checks a leader's definition: each registered instance has the storages in its settings.
func (w *simulation) decides(view *state.State, commands []state.Command) {
	for _, c := range commands {
		if c.Define == nil {
			continue
		}
		was := view.VirtualStorage(virtualStorage)
		for _, known := range view.Instances {
			for in := range w.registered() {
				if in.ledger.inc != known.Incarnation {
					continue
				}
				for _, name := range c.Define.Storages {
					if (was == nil || was.Storage(name) == nil) && !slices.Contains(in.file, name) {
						w.failf("%s is to be defined, and %s does not have it in its settings", name, in.name)
					}
				}
			}
		}
	}
}
