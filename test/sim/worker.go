package sim

import (
	"slices"
	"time"

	"praefect/fsm/state"
	"praefect/replicator/plan"
)

// postgres is the queue of replication jobs: one live job a repository, claimed
// for a while. It may be away, or take a call and lose the answer.
type postgres struct {
	w    *simulation
	away bool
	jobs []*job // in the order of their making
}

type job struct {
	path    string
	due     time.Duration // true time
	claimed time.Duration // until when
	attempt int
}

// call makes one call; false means that the caller got no answer.
func (p *postgres) call(t *task, fn func()) bool {
	t.sleep(p.w.between(200*time.Microsecond, 2*time.Millisecond))
	if p.away {
		t.sleep(200 * time.Millisecond)
		return false
	}
	fn()
	return !p.w.chance(0.02)
}

func (p *postgres) find(path string) *job {
	if i := slices.IndexFunc(p.jobs, func(j *job) bool { return j.path == path }); i >= 0 {
		return p.jobs[i]
	}
	return nil
}

func (p *postgres) enqueue(path string, due time.Duration) {
	if j := p.find(path); j != nil {
		j.due = min(j.due, due)
		return
	}
	p.jobs = append(p.jobs, &job{path: path, due: due})
}

// claim takes a job that is due.
func (p *postgres) claim() *job {
	for _, j := range p.jobs {
		if j.due <= p.w.now && j.claimed <= p.w.now {
			j.claimed = p.w.now + 5*time.Second
			j.attempt++
			return j
		}
	}
	return nil
}

// acknowledge ends an attempt; again is 0 for a job that is done.
func (p *postgres) acknowledge(j *job, attempt int, again time.Duration) {
	if j.attempt != attempt {
		return
	}
	j.claimed = 0
	if again > 0 {
		j.due = p.w.now + again
		return
	}
	p.jobs = slices.DeleteFunc(p.jobs, func(o *job) bool { return o == j })
}

// worker is the replicator of one life of an instance.
type worker struct {
	d       *driver
	pending []string
	more    signal
}

// enqueue asks for a repair; it never waits.
func (w *worker) enqueue(path string) {
	if !slices.Contains(w.pending, path) {
		w.pending = append(w.pending, path)
	}
	w.more.notify()
}

// flush brings the pending paths to the queue, whenever it is there.
func (w *worker) flush(t *task) {
	db := w.d.in.w.postgres
	for {
		t.waitFor(&w.more, -1, func() bool { return len(w.pending) > 0 })
		paths := w.pending
		w.pending = nil
		if !db.call(t, func() {
			for _, path := range paths {
				db.enqueue(path, db.w.now)
			}
		}) {
			for _, path := range paths {
				w.enqueue(path)
			}
			t.sleep(500 * time.Millisecond)
		}
	}
}

// reconcile makes jobs for entries that have none.
func (w *worker) reconcile(t *task) {
	d, db := w.d, w.d.in.w.postgres
	for {
		t.sleep(d.in.w.between(time.Second, 3*time.Second))
		var due []string
		d.in.raft.view.Each(virtualStorage, func(k state.Key, _ *state.Entry) bool {
			if d.plan(d.in.raft.view, k.RelativePath, false).Action != plan.Idle {
				due = append(due, k.RelativePath)
			}
			return true
		})
		if len(due) == 0 {
			continue
		}
		db.call(t, func() {
			for _, path := range due {
				db.enqueue(path, db.w.now)
			}
		})
	}
}

// run takes jobs and repairs the repositories that they point to.
func (w *worker) run(t *task) {
	d, db := w.d, w.d.in.w.postgres
	for {
		var j *job
		attempt := 0
		db.call(t, func() {
			if j = db.claim(); j != nil {
				attempt = j.attempt
			}
		})
		if j == nil {
			t.sleep(d.in.w.between(100*time.Millisecond, 400*time.Millisecond))
			continue
		}
		again, _, err := d.repair(t, j.path, false)
		if err != nil {
			d.in.w.tracef("%s: repair of %s: %v", d.in.name, j.path, err)
			again = d.in.w.between(200*time.Millisecond, time.Second)
		}
		for !db.call(t, func() { db.acknowledge(j, attempt, again) }) {
			t.sleep(300 * time.Millisecond)
		}
	}
}
