// Package place owns the question where a process of a test runs: on the loopback address, or in a
// network namespace with an address of its own. It promises that a started process is in its place
// from its first instruction, and that a property which the kernel ties to the forking thread, such
// as the death signal, lasts as long as the process. The packages that start processes for tests
// may use it; nothing of the product.
package place

import (
	"fmt"
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

// Place is where a process runs. The zero value is this machine, with the
// loopback address.
type Place struct {
	// IP is the address to listen on. Empty: the loopback address.
	IP string
	// Enter moves the calling thread, which starts one process and is not used
	// for anything else any more. Nil: the process starts where we are.
	Enter func() error
	// Nice is the priority of the process for the scheduler, as nice(1) has it; less
	// than 0 needs root.
	Nice int
}

// Here tells that the place is this machine's loopback address.
func (p Place) Here() bool { return p.Enter == nil }

// Address is the IP address to listen on and to find the process at.
func (p Place) Address() string {
	if p.IP == "" {
		return "127.0.0.1"
	}
	return p.IP
}

// Start starts a command in the place and returns once it was executed. The
// channel is closed when the process has ended and command.ProcessState is set.
func (p Place) Start(command *exec.Cmd) (ended <-chan struct{}, err error) {
	started, gone := make(chan error, 1), make(chan struct{}) // one result, so that the goroutine never waits for us
	go func() {
		// The kernel sends the death signal when the thread that forked ends, not the process; this
		// goroutine keeps its thread for as long as the child lives.
		runtime.LockOSThread()
		if p.Enter == nil && p.Nice == 0 {
			defer runtime.UnlockOSThread()
		} else if err := p.move(); err != nil { // a thread that moved stays locked, and ends with its goroutine
			started <- fmt.Errorf("enter its place: %w", err)
			return
		}
		if err := command.Start(); err != nil {
			started <- err
			return
		}
		started <- nil
		_ = command.Wait() // an error tells no more than the state
		close(gone)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return gone, nil
}

// move brings the calling thread to where the process shall be born.
func (p Place) move() error {
	if p.Nice != 0 {
		// 0 is the calling thread: what it forks inherits the priority.
		if err := unix.Setpriority(unix.PRIO_PROCESS, 0, p.Nice); err != nil {
			return fmt.Errorf("set the priority %d: %w", p.Nice, err)
		}
	}
	if p.Enter == nil {
		return nil
	}
	return p.Enter()
}
