package gitaly

import (
	"errors"
	"io/fs"
	"sync"
)

// running counts the git commands in each repository, and remembers where one
// was cut off. Git removes its lock files when it is told to end, unless the
// signal meets it between making one and noting it, or it is killed for taking
// too long; such a lock would fail every later write.
type running struct {
	mu       sync.Mutex
	commands map[string]int  // by repository; guarded by mu
	cut      map[string]bool // guarded by mu
}

// enter counts a command that is about to start. The first one after others
// were cut off, when none of them can be left, finds no lock.
func (r *running) enter(repository string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.commands == nil {
		r.commands, r.cut = make(map[string]int), make(map[string]bool)
	}
	if r.cut[repository] && r.commands[repository] == 0 {
		if err := removeLocks(repository); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		delete(r.cut, repository)
	}
	r.commands[repository]++
	return nil
}

// leave takes off the command that enter counted; cut tells that the command did not end
// by itself.
func (r *running) leave(repository string, cut bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.commands[repository]--; r.commands[repository] == 0 {
		delete(r.commands, repository)
	}
	if cut {
		r.cut[repository] = true
	}
}
