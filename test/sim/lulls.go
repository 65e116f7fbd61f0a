package sim

import "time"

// longestLull is after which clients go on although all has not become calm.
const longestLull = 12 * time.Second

// calms tells in which schedules all becomes calm now and then: seeds that find none of the older
// planted defects. It draws from nothing: all other schedules stay as they are.
func calms(seed uint64) bool {
	switch seed % 128 {
	case 35, 43, 45, 67, 68, 70, 72, 75, 80, 96, 100, 104, 107, 108, 120, 124:
		return true
	}
	return false
}

// lulls are times in which no client asks for anything, and no fault begins until all is calm.
type lulls struct {
	on      bool
	number  int
	reached bool      // it has become calm in this one
	ever    bool      // or in any
	resting []*client // until it ends
	// believed tells that leaders take all for calm, true or not.
	believed bool
	// calmed is called when all becomes calm.
	calmed func()
}

// drawCalm draws the ingredients of schedules in which all becomes calm.
func (w *simulation) drawCalm() {
	s := &w.setup
	if s.rests = calms(w.seed); !s.rests {
		return
	}
	w.lulls.calmed = w.calmed
	s.span = w.between(16*time.Second, 22*time.Second)
	w.after(w.between(2*time.Second, 4*time.Second), w.lull)
	if s.credulous = w.chance(0.5); s.credulous {
		w.after(0, w.believe)
	}
}

// believe has leaders believe in calm for a while, and judge by themselves for a while, until the
// faults are over.
func (w *simulation) believe() {
	w.lulls.believed = !w.lulls.believed && !w.quiet
	w.tracef("leaders believe in calm: %v", w.lulls.believed)
	if w.quiet {
		return
	}
	if w.lulls.believed && w.chance(0.5) {
		w.after(w.between(0, time.Second), w.strike)
	}
	w.after(w.between(0, 5*time.Second), w.believe)
}

// lull ends the faults, and has the clients rest.
func (w *simulation) lull() {
	if w.quiet {
		return
	}
	w.lulls.number++
	w.lulls.on, w.lulls.reached = true, false
	w.cov.Lulls++
	w.tracef("the clients rest")
	w.endFaults()
	number := w.lulls.number
	w.after(longestLull, func() {
		if w.lulls.number == number {
			w.stir()
		}
	})
}

// stir ends a lull: the clients go on at once, and later rest again.
func (w *simulation) stir() {
	if !w.lulls.on {
		return
	}
	w.lulls.on = false
	w.tracef("the clients go on")
	resting := w.lulls.resting
	w.lulls.resting = nil
	for _, c := range resting {
		w.after(w.between(0, 5*time.Millisecond), c.begin)
	}
	w.after(w.between(0, 2500*time.Millisecond), w.lull)
}

// calmed has a fault strike after all has become calm, at once or later, and has clients go on
// just before it, at that moment, or after it.
func (w *simulation) calmed() {
	w.cov.Calms++
	w.cov.CalmSchedules += btoi(!w.lulls.ever)
	w.lulls.ever = true
	if !w.lulls.on || w.lulls.reached {
		return
	}
	w.lulls.reached = true
	at := pick(w, w.between(0, 20*time.Millisecond), w.between(0, time.Second), w.between(time.Second, 4*time.Second))
	next := at + pick(w, -w.between(0, 30*time.Millisecond), w.between(0, 30*time.Millisecond), w.between(0, 600*time.Millisecond), w.between(0, 3*time.Second))
	w.after(at, w.strike)
	if w.chance(0.3) {
		w.after(at+w.between(0, 500*time.Millisecond), w.strike)
	}
	w.after(next, w.stir)
}

// calm tells whether all is calm, and the leader knows it.
func (w *simulation) calm() bool {
	l := w.leader()
	return l != nil && l.truly && l.known.Calm()
}

// strike begins a fault: mostly at the leader or another instance, of which the others hear seldom.
func (w *simulation) strike() {
	if w.quiet {
		return
	}
	in := pick(w, w.instances...)
	if l := w.leader(); l != nil && w.chance(0.5) {
		in = l.in
	}
	if !in.up || w.chance(0.3) {
		w.fault()
		return
	}
	w.cov.FaultsInCalm += btoi(w.calm())
	switch w.rand.IntN(6) {
	case 0:
		in.crash()
		w.after(w.while(), in.comeBack)
	case 1:
		w.stop(in.process)
	case 2:
		in.lagging = w.now + w.while()
	case 3:
		if in.raft.leading {
			in.raft.transfer(w.rand.IntN(w.setup.instances))
		}
	default:
		w.cut(w.around(in.node, pick(w, w.setup.instances, w.setup.instances, w.net.nodes)), w.chance(0.25))
	}
}
