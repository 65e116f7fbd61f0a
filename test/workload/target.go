package workload

import "math/rand/v2"

// toWrite is the repository that a writer goes to, if there is one, and the pool that it
// tells how that ended.
func (t *Traffic) toWrite(n int) (path string, done func(error), found bool) {
	if t.own != nil {
		return t.own[n], func(error) {}, true
	}
	path, found = t.pool.Take()
	return path, func(err error) { t.pool.Done(path, err) }, found
}

// toRead is the repository that a reader goes to, if there is one.
func (t *Traffic) toRead() (path string, found bool) {
	if t.own != nil {
		return t.own[rand.IntN(len(t.own))], true
	}
	return t.pool.Any()
}
