package workload

import (
	"math/rand/v2"
	"sync"
	"time"
)

// Pool knows which repositories clients may go to. A repository is clean if no
// storage was behind for it when the cluster was asked after its last write; only
// such a one is surely served when a primary is lost, as long as writes are
// acknowledged by the primary alone. Its methods may be called by several
// goroutines.
type Pool struct {
	mu      sync.Mutex
	paths   []string
	next    int
	reserve int
	rush    time.Time              // when Rush was called, zero after Calm; guarded by mu
	known   map[string]*repository // guarded by mu
}

// repository is the state of one repository.
type repository struct {
	writing   int       // writers that are at it
	touched   time.Time // when the last of them ended
	written   time.Time // when the last write was acknowledged
	behind    bool      // a storage was behind, or may be
	available bool      // it could be written and read all the same
}

// NewPool is a pool of clean repositories. Until Rush, writers leave at least
// that many of them clean.
func NewPool(paths []string, reserve int) *Pool {
	p := &Pool{paths: paths, reserve: reserve, known: make(map[string]*repository)}
	for _, path := range paths {
		p.known[path] = &repository{available: true}
	}
	return p
}

// Rush lets writers use the reserve up, and when nothing in it is clean any more
// go on with listed ones: something is about to happen, and a repository that was
// behind before it may be lost to clients for a while.
func (p *Pool) Rush() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rush = time.Now()
}

// Calm takes a Rush back.
func (p *Pool) Calm() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rush = time.Time{}
}

// Take gives a repository to a writer, the next one in the round that is clean
// and that no other client writes to; found is false if there is none. The writer calls Done.
func (p *Pool) Take() (path string, found bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if clean := p.clean(); clean > p.reserve || clean > 0 && !p.rush.IsZero() {
		return p.take(func(r *repository) bool { return r.writing == 0 && !r.behind })
	}
	return p.take(func(r *repository) bool { return r.writing == 0 && p.isServed(r) })
}

// isServed tells whether a repository that is not clean can be read and written
// all the same. Caller holds mu.
func (p *Pool) isServed(r *repository) bool {
	return !p.rush.IsZero() && r.available && r.written.After(p.rush)
}

func (p *Pool) take(fit func(*repository) bool) (string, bool) {
	for range p.paths {
		path := p.paths[p.next]
		p.next = (p.next + 1) % len(p.paths)
		if r := p.known[path]; fit(r) {
			r.writing++
			return path, true
		}
	}
	return "", false
}

// clean counts the clean repositories. Caller holds mu.
func (p *Pool) clean() (n int) {
	for _, r := range p.known {
		if !r.behind && r.writing == 0 {
			n++
		}
	}
	return n
}

// Clean is how many repositories are clean, without a writer.
func (p *Pool) Clean() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.clean()
}

// Done takes the repository of a Take back, with how the write ended.
func (p *Pool) Done(path string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.known[path]
	r.writing--
	r.behind, r.touched = true, time.Now()
	if err == nil {
		r.written = r.touched
	}
}

// Any gives a repository to a reader: an clean one, at random, else one that can
// be read; found is false if there is none.
func (p *Pool) Any() (path string, found bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, fit := range []func(*repository) bool{
		func(r *repository) bool { return r.writing == 0 && !r.behind },
		p.isServed,
	} {
		for _, i := range rand.Perm(len(p.paths)) {
			if fit(p.known[p.paths[i]]) {
				return p.paths[i], true
			}
		}
	}
	return "", false
}

// Listed takes the answer of the cluster to a question at a moment: the repositories
// of which a storage is behind, and whether each is available.
func (p *Pool) Listed(asked time.Time, behind map[string]bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for path, r := range p.known {
		available, listed := behind[path]
		r.available = available || !listed
		// An answer from before the end of a write knows nothing of it.
		if listed || asked.After(r.touched) {
			r.behind = listed
		}
	}
}
