package workload

import (
	"math/rand/v2"
	"sync"
	"time"
)

// Pool knows which repositories clients may go to. A repository is ordinary if no
// storage was behind for it when the cluster was asked after its last write; only
// such a one is surely served when a primary is lost, as long as writes are
// acknowledged by the primary alone. Its methods may be called by several
// goroutines.
type Pool struct {
	mu      sync.Mutex
	paths   []string
	next    int
	reserve int                    // guarded by mu
	known   map[string]*repository // guarded by mu
}

// repository is what a pool knows of one.
type repository struct {
	writing   int       // writers that are at it
	touched   time.Time // when the last of them ended
	behind    bool      // a storage was behind, or may be
	available bool      // it can be written and read all the same
}

// NewPool is a pool of ordinary repositories.
func NewPool(paths []string) *Pool {
	p := &Pool{paths: paths, known: make(map[string]*repository)}
	for _, path := range paths {
		p.known[path] = &repository{available: true}
	}
	return p
}

// Reserve keeps writers from leaving less than n repositories ordinary. With none
// in reserve they go on with others that can be written when no ordinary one is left.
func (p *Pool) Reserve(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reserve = n
}

// Take gives a repository to a writer, the next one in the round that is ordinary
// and that nobody writes to; found is false if there is none. The writer calls Done.
func (p *Pool) Take() (path string, found bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ordinary() > p.reserve {
		return p.take(func(r *repository) bool { return r.writing == 0 && !r.behind })
	}
	if p.reserve > 0 {
		return "", false
	}
	return p.take(func(r *repository) bool { return r.writing == 0 && r.available })
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

// ordinary counts the ordinary repositories. Caller holds mu.
func (p *Pool) ordinary() (n int) {
	for _, r := range p.known {
		if !r.behind && r.writing == 0 {
			n++
		}
	}
	return n
}

// Done takes the repository of a Take back.
func (p *Pool) Done(path string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.known[path]
	r.writing--
	r.behind, r.touched = true, time.Now()
}

// Any gives a repository to a reader: an ordinary one, at random, else one that can
// be read; found is false if there is none.
func (p *Pool) Any() (path string, found bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, fit := range []func(*repository) bool{
		func(r *repository) bool { return r.writing == 0 && !r.behind },
		func(r *repository) bool { return r.available },
	} {
		for _, i := range rand.Perm(len(p.paths)) {
			if fit(p.known[p.paths[i]]) {
				return p.paths[i], true
			}
		}
	}
	return "", false
}

// Listed takes what the cluster said when it was asked at a moment: the repositories
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
