package sim

import (
	"fmt"
	"time"
)

// setup has the ingredients of a schedule; the seed draws it.
type setup struct {
	instances, storages, paths, clients int
	// span is for how long things go wrong, and how often a fault begins.
	span, faults time.Duration
	// think is how long clients wait between requests at most, and deletes how
	// many of their writes are one.
	think   time.Duration
	deletes float64
	lease   time.Duration
	linger  time.Duration
	// timeout is after which a proposal counts as unknown.
	timeout time.Duration
	// overtaken is how many of the proposals lie at the leader until others may have
	// overtaken them.
	overtaken float64
	// zombies are leaders that do not notice that no instance follows.
	zombies bool
	// starved processes may take long between two instructions, and clumsy ones
	// be paused just when they send something.
	starved bool
	clumsy  float64
	// sluggish views are always late.
	sluggish bool
	// disks may be replaced by empty ones, or by formerDisks.
	disks, formerDisks bool
	// begun tells that the storages have something before the cluster begins.
	begun bool
	// sloppy copies report success and leave something out.
	sloppy float64
	// rolling: instances get the program of the next release when they start again.
	rolling bool

	// grows: the last storage is added on the way, by a rolling edit of the instances' settings.
	grows bool

	// tardy: the effects of calls often come late.
	tardy bool

	// undisturbed: nothing goes wrong but that leadership moves.
	undisturbed bool

	// rests: the clients rest now and then, so that all becomes calm; credulous leaders believe in
	// calm while there is none.
	rests, credulous bool

	// changes: instances are removed and replaced, and others join.
	changes bool

	// votes: the storages vote. Some may not, and learn it, or forget it, meanwhile.
	votes, mixed bool
	// copies and block are the settings of a write on which too few agree.
	copies int
	block  bool
	// primaryOnly is how many of the writes cannot vote.
	primaryOnly float64
	// fragile storages may die just between two phases of a write, and patient ones
	// wait for a lock as long as it takes.
	fragile float64
	patient bool
	// phaseless storages do not tell before a change from after it when they vote.
	phaseless bool
	// confused storages do not notice that the connection of a call is gone, and vote
	// over the newest one to the same instance.
	confused bool
}

// quietSpan is how long everything has to converge once nothing is wrong.
const quietSpan = 180 * time.Second

func (w *simulation) draw() {
	w.setup = setup{
		instances: pick(w, 3, 3, 3, 3, 3, 3, 5, 1),
		storages:  pick(w, 3, 3, 3, 2, 4),
		paths:     pick(w, 1, 2, 2, 3),
		clients:   pick(w, 2, 3, 4),
		span:      w.between(3*time.Second, 9*time.Second),
		faults:    w.between(150*time.Millisecond, 1200*time.Millisecond),
		think:     pick[time.Duration](w, 20, 60, 150, 400) * time.Millisecond,
		lease:     pick[time.Duration](w, 400, 1000, 1000) * time.Millisecond,
		linger:    pick[time.Duration](w, 50, 400, 2000) * time.Millisecond,
		timeout:   pick[time.Duration](w, 50, 300, 1000, 3000) * time.Millisecond,
		zombies:   w.chance(0.4),
		starved:   w.chance(0.1),
		sluggish:  w.chance(0.1),
		disks:     w.chance(0.3),
	}
	if w.chance(0.3) {
		w.setup.deletes = 0.1
	}
	if w.chance(0.2) {
		w.setup.clumsy = 0.01
	}
	if w.chance(0.2) {
		w.setup.overtaken = 0.03
	}
}

// drawVotes draws the settings of votes: every other seed has them.
func (w *simulation) drawVotes() {
	s := &w.setup
	if s.votes = w.seed%2 == 0; !s.votes {
		return
	}
	// A write that does not vote leaves all others behind, until no client writes for a
	// while: there must be few of them, and pauses.
	s.mixed = w.chance(0.15)
	s.primaryOnly = pick(w, 0, 0, 0, 0.02, 0.1)
	s.deletes = min(s.deletes, 0.02)
	s.paths = max(s.paths, 2)
	s.think = max(s.think, 150*time.Millisecond)
	s.linger = min(s.linger, 100*time.Millisecond)
	s.copies = pick(w, 1, 2, 2, 2, 3)
	s.block = w.chance(0.2)
	s.patient = w.chance(0.2)
	s.phaseless = w.chance(0.3)
	s.confused = w.chance(0.15)
	if w.chance(0.3) {
		s.fragile = 0.01
	}
}

func (w *simulation) build() {
	w.draw()
	w.drawVotes()
	w.drawStorm()
	w.drawCalm()
	w.setup.rolling = w.seed%12 == 9 // seeds that find no other planted defect: they play other schedules for it
	for i := range w.setup.paths {
		w.paths = append(w.paths, fmt.Sprintf("%c.git", 'a'+i))
	}
	w.net = newNetwork(w, w.setup.instances+w.setup.storages)
	w.postgres = &postgres{w: w}
	w.history = &history{w: w, removed: make(map[string]time.Duration)}
	w.check = newCheck(w)
	founding := &configuration{}
	for i := range w.setup.instances {
		founding.servers = append(founding.servers, server{i, true})
	}
	w.history.config = founding
	for i := range w.setup.instances {
		in := newInstance(w, i)
		in.founding = founding
		w.instances = append(w.instances, in)
	}
	for i := range w.setup.storages {
		name := fmt.Sprintf("gitaly-%d", i+1)
		s := &storage{index: i, process: &process{w: w, name: name, node: w.setup.instances + i, clock: w.newClock()}}
		s.votes = w.setup.votes
		s.newDisk()
		s.start()
		w.storages = append(w.storages, s)
	}
	w.upgraded()
	w.grow()
	w.begun()
	w.begunAttributes()
	w.storm()
	w.moveLeadership()
	w.changeMembers()
	w.ruinReplicas()
	w.fillDisks()
	w.tamper()
	w.refillStorages()
	w.loseQuorum()
	for _, in := range w.instances {
		w.after(w.between(0, 200*time.Millisecond), in.begin)
	}
	if w.setup.mixed && !w.setup.undisturbed {
		pick(w, w.storages...).votes = false
		w.after(0, w.upgrade)
	}
}
