package sim

import (
	"iter"
	"slices"
	"time"
)

// clock is the boot-time clock of a host: it counts while a process is paused,
// and is wrong by up to 1 %.
type clock struct {
	offset time.Duration
	rate   float64
}

// process is one program on one host. Its work happens in events of its own,
// which wait while it is paused and never come once it has died.
type process struct {
	w     *simulation
	name  string
	node  int // its host's place in the network
	clock clock

	up     bool
	life   int           // rises with each start and end
	paused time.Duration // until when, true time
	tasks  []*task       // live ones, in the order of their start
}

// now is the time that the process reads from its clock.
func (p *process) now() time.Duration {
	return p.clock.offset + time.Duration(float64(p.w.now)*p.clock.rate)
}

// after runs fn in this life of the process, d later by its own clock, or when
// it goes on after a pause.
func (p *process) after(d time.Duration, fn func()) {
	// Not a moment too soon: a look at the clock then shows that d has passed.
	p.afterTrue(time.Duration(float64(d)/p.clock.rate)+2, fn)
}

// afterTrue is after by the true time: an event from outside is in time.
func (p *process) afterTrue(d time.Duration, fn func()) {
	life := p.life
	var run func()
	run = func() {
		switch {
		case p.life != life:
		case p.paused > p.w.now:
			p.w.at(p.paused, run)
		default:
			fn()
		}
	}
	p.w.after(d, run)
}

// soon runs fn after a moment in which anything else may happen.
func (p *process) soon(fn func()) { p.afterTrue(p.w.moment(), fn) }

// every runs fn in this life of the process about every d of its clock.
func (p *process) every(d time.Duration, fn func()) {
	p.after(p.w.between(0, d), func() {
		var again func()
		again = func() {
			fn()
			p.after(d+p.w.between(0, d/8), again)
		}
		again()
	})
}

// start begins a life.
func (p *process) start() {
	p.life++
	p.up, p.paused = true, 0
}

// end ends this life at once: nothing of it happens any more.
func (p *process) end() {
	p.life++
	p.up = false
	tasks := p.tasks
	p.tasks = nil
	for _, t := range tasks {
		t.stop()
	}
}

// task is one thread of a process, written as straight code. Only one runs at a
// time; others go on when it waits.
type task struct {
	p      *process
	next   func() (struct{}, bool)
	stop   func()
	yield  func(struct{}) bool
	parked int // counts waits, so that a late wake-up finds its wait over
}

// killed unwinds a task whose process died.
type killed struct{}

// run starts a task soon.
func (p *process) run(fn func(t *task)) {
	t := &task{p: p}
	t.next, t.stop = iter.Pull(func(yield func(struct{}) bool) {
		defer func() {
			if cause := recover(); cause != nil {
				if _, ok := cause.(killed); !ok {
					panic(cause)
				}
			}
		}()
		t.yield = yield
		fn(t)
	})
	p.tasks = append(p.tasks, t)
	p.soon(t.step)
}

// step lets the task go on until it waits or ends.
func (t *task) step() {
	if _, alive := t.next(); alive {
		return
	}
	remove(&t.p.tasks, t)
}

// remove takes a value out of a list, and reports whether it was there.
func remove[T comparable](list *[]T, v T) bool {
	i := slices.Index(*list, v)
	if i >= 0 {
		*list = slices.Delete(*list, i, i+1)
	}
	return i >= 0
}

// park waits for step.
func (t *task) park() {
	if !t.yield(struct{}{}) {
		panic(killed{})
	}
}

// sleep waits for d by the clock of the process.
func (t *task) sleep(d time.Duration) {
	t.p.after(d, t.step)
	t.park()
}

// pause lets anything else happen between two instructions.
func (t *task) pause() {
	t.p.soon(t.step)
	t.park()
}

// signal wakes the tasks that wait for it. Its zero value is ready.
type signal struct{ waiters []waiter }

type waiter struct {
	t      *task
	parked int
}

// notify wakes every task that waits now.
func (s *signal) notify() {
	waiters := s.waiters
	s.waiters = nil
	for _, w := range waiters {
		w.t.p.soon(func() { w.t.wake(w.parked) })
	}
}

func (t *task) wake(parked int) {
	if t.parked == parked {
		t.parked++
		t.step()
	}
}

// wait waits for the signal, at most for d by the clock of the process (for
// ever if d is negative), and reports whether it came.
func (t *task) wait(s *signal, d time.Duration) bool {
	parked, came := t.parked, true
	s.waiters = append(s.waiters, waiter{t, parked})
	if d >= 0 {
		t.p.after(d, func() {
			if t.parked == parked {
				came = false
				t.wake(parked)
			}
		})
	}
	t.park()
	return came
}

// waitFor waits until done, which the signal announces; at most for d.
func (t *task) waitFor(s *signal, d time.Duration, done func() bool) bool {
	deadline := t.p.now() + d
	for !done() {
		left := deadline - t.p.now()
		if d >= 0 && left <= 0 {
			return false
		}
		if d < 0 {
			left = -1
		}
		t.wait(s, left)
	}
	return true
}

// reply is a value that a task waits for.
type reply[T any] struct {
	done  bool
	value T
	ready signal
}

// wait waits for the value, at most for d (for ever if that is negative), and reports whether it came.
func (r *reply[T]) wait(t *task, d time.Duration) bool {
	return t.waitFor(&r.ready, d, func() bool { return r.done })
}

// set gives the value; only the first one counts.
func (r *reply[T]) set(v T) {
	if !r.done {
		r.done, r.value = true, v
		r.ready.notify()
	}
}
