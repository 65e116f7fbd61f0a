package sim

import (
	"slices"
	"time"

	"praefect/fsm/state"
)

// fault begins one fault, and has it end after a while.
type fault struct {
	weight int
	begin  func(w *simulation)
}

var faults = []fault{
	{4, (*simulation).crashInstance},
	{3, (*simulation).pauseInstance},
	{4, (*simulation).crashStorage},
	{2, (*simulation).pauseStorage},
	{5, (*simulation).partition},
	{3, (*simulation).isolate},
	{2, (*simulation).slowDown},
	{1, (*simulation).lose},
	{2, (*simulation).postgresAway},
	{2, (*simulation).lagBehind},
	{3, (*simulation).operate},
}

// trouble begins faults, one after the other, until the span is over.
func (w *simulation) trouble() {
	if w.quiet {
		return
	}
	if !w.lulls.on {
		w.fault()
	}
	w.after(w.between(w.setup.faults/2, w.setup.faults*3/2), w.trouble)
}

// fault begins any fault.
func (w *simulation) fault() {
	w.cov.FaultsInCalm += btoi(w.setup.rests && w.calm())
	total := 0
	for _, f := range faults {
		total += f.weight
	}
	n := w.rand.IntN(total)
	for _, f := range faults {
		if n -= f.weight; n < 0 {
			f.begin(w)
			break
		}
	}
}

// while draws how long a fault lasts.
func (w *simulation) while() time.Duration {
	switch {
	case w.chance(0.04):
		return w.between(4*time.Second, 12*time.Second)
	case w.chance(0.3):
		return w.between(0, 300*time.Millisecond)
	}
	return w.between(200*time.Millisecond, 4*time.Second)
}

func (w *simulation) restart(in *instance) {
	if in.up {
		in.crash()
	}
	w.after(w.between(100*time.Millisecond, 500*time.Millisecond), in.comeBack)
}

func (w *simulation) crashInstance() {
	in := pick(w, w.instances...)
	if w.chance(0.4) {
		for _, other := range w.instances {
			if other.up && other.raft.leading {
				in = other
			}
		}
	}
	if !in.up {
		return
	}
	in.crash()
	w.after(w.while(), in.comeBack)
}

// longestPause is for how long a process may stop just when it sends something: until it was
// retired, and the bound of its next action had passed.
const longestPause = 20 * time.Second

func (w *simulation) pauseInstance() {
	in := pick(w, w.instances...)
	w.stop(in.process)
}

func (w *simulation) stop(p *process) { w.stopFor(p, w.while()) }

func (w *simulation) stopFor(p *process, d time.Duration) {
	p.paused = max(p.paused, w.now+d)
	w.cov.Pauses++
	w.tracef("%s is paused for %v", p.name, d)
	w.check.quorum()
	w.at(p.paused, w.check.quorum)
}

func (w *simulation) crashStorage() {
	s := pick(w, w.storages...)
	if w.chance(0.4) {
		s = w.primary()
	}
	if s.up {
		w.crash(s, w.setup.disks && w.chance(0.2))
	}
}

// crash ends a storage, which comes back after a while, perhaps on an empty disk.
func (w *simulation) crash(s *storage, empty bool) {
	w.tracef("%s dies", s.name)
	s.crash()
	w.after(w.while(), func() {
		if s.up {
			return
		}
		if empty && w.serveBeside(s) {
			w.otherDisk(s)
		}
		w.tracef("%s starts on %s", s.name, s.disk.id)
		s.start()
	})
}

// upgrade restarts a storage now and then with another release, which votes or does
// not.
func (w *simulation) upgrade() {
	w.after(w.between(500*time.Millisecond, 4*time.Second), func() {
		if s := pick(w, w.storages...); s.up && !w.quiet && !w.lulls.on {
			w.crash(s, false)
			s.votes = !s.votes
			w.cov.Upgrades++
		}
		w.upgrade()
	})
}

// otherDisk puts an empty disk into a storage, or one that it had before.
func (w *simulation) otherDisk(s *storage) {
	w.cov.NewDisks++
	if w.setup.formerDisks && w.chance(0.6) {
		for _, d := range s.disks {
			if d != s.disk {
				w.cov.FormerDisks++
				s.disk = d
				return
			}
		}
	}
	s.newDisk()
}

// swapDisk restarts a storage on an empty disk, in a moment.
func (w *simulation) swapDisk(s *storage) {
	if !s.up || !w.serveBeside(s) {
		return
	}
	w.tracef("%s dies, and starts on an empty disk", s.name)
	s.crash()
	w.after(w.between(time.Millisecond, 20*time.Millisecond), func() {
		if !s.up {
			w.otherDisk(s)
			s.start()
		}
	})
}

// serveBeside reports whether another storage serves, on the disk that the
// agreed state speaks of: the last one is never thrown away.
func (w *simulation) serveBeside(s *storage) bool {
	vs := w.history.last().VirtualStorage(virtualStorage)
	return vs != nil && slices.ContainsFunc(vs.Succession, func(st state.Storage) bool {
		return st.Name != s.name && st.State == state.Serving && w.storage(st.Name).disk.id == st.FilesystemID
	})
}

// primary is the storage that most repositories have as primary.
func (w *simulation) primary() *storage {
	if vs := w.history.last().VirtualStorage(virtualStorage); vs != nil {
		if p, _ := vs.Primary(nil); p.Name != "" {
			return w.storage(p.Name)
		}
	}
	return w.storages[0]
}

func (w *simulation) pauseStorage() {
	s := pick(w, w.storages...)
	if w.chance(0.4) {
		s = w.primary()
	}
	// An effect of a stopped storage after the bound of a call is a known limit:
	// its calls end with the pause.
	w.stop(s.process)
}

// partition cuts one link, in one direction or both.
func (w *simulation) partition() {
	a, b := w.rand.IntN(w.net.nodes), w.rand.IntN(w.net.nodes)
	if a == b {
		return
	}
	w.cut([][2]int{{a, b}}, w.chance(0.4))
}

// isolate cuts one host off from the instances, or from all hosts.
func (w *simulation) isolate() {
	a := w.rand.IntN(w.net.nodes)
	others := w.net.nodes
	if w.chance(0.5) {
		others = w.setup.instances
	}
	w.cut(w.around(a, others), w.chance(0.25))
}

// around are the links of a host with the first others.
func (w *simulation) around(a, others int) (links [][2]int) {
	for b := range others {
		if b != a {
			links = append(links, [2]int{a, b})
		}
	}
	return links
}

// cut cuts links for a while.
func (w *simulation) cut(links [][2]int, oneWay bool) {
	w.cov.Partitions++
	reverse := w.chance(0.5)
	set := func(cut bool) {
		for _, l := range links {
			if !oneWay || !reverse {
				w.net.set(l[0], l[1], cut)
			}
			if !oneWay || reverse {
				w.net.set(l[1], l[0], cut)
			}
		}
		w.check.quorum()
	}
	w.tracef("cut: %v, one way: %v, reverse: %v", links, oneWay, reverse)
	set(true)
	w.after(w.while(), func() {
		w.tracef("healed: %v", links)
		set(false)
	})
}

func (w *simulation) slowDown() {
	a, b := w.rand.IntN(w.net.nodes), w.rand.IntN(w.net.nodes)
	w.net.slow[a*w.net.nodes+b] = w.between(5*time.Millisecond, 200*time.Millisecond)
	w.after(w.while(), func() { w.net.slow[a*w.net.nodes+b] = 0 })
}

func (w *simulation) lose() {
	w.net.loss = w.rand.Float64() * 0.3
	w.after(w.while(), func() { w.net.loss = 0 })
}

func (w *simulation) postgresAway() {
	w.postgres.away = true
	w.after(w.while(), func() { w.postgres.away = false })
}

// lagBehind makes the view of an instance slow, or stand still.
func (w *simulation) lagBehind() {
	in := pick(w, w.instances...)
	if w.chance(0.3) && in.up && !in.raft.leading {
		in.hung = w.now + w.while()
		return
	}
	in.lagging = w.now + w.while()
}

// heal ends all faults but the pauses of instances: an instance that wakes up when all others
// have forgotten it does its next action.
func (w *simulation) heal() {
	w.quiet, w.quietSince = true, w.now
	w.tracef("all faults are over")
	w.endFaults()
}

// endFaults ends the faults that there are, but for the pauses of instances.
func (w *simulation) endFaults() {
	w.net.heal()
	w.postgres.away = false
	for _, in := range w.instances {
		in.lagging, in.hung = 0, 0
		in.comeBack()
	}
	for _, s := range w.storages {
		s.paused = min(s.paused, w.now)
		if !s.up {
			s.start()
		}
	}
	w.check.quorum()
}
