package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"time"

	"praefect/test/place"
)

// killLimit bounds the wait for the end of a process that was sent SIGKILL: the
// kernel may need a moment for a large or swapped one.
const killLimit = 20 * time.Second

// dumpLimit bounds the wait for the output of a process that is about to be killed.
const dumpLimit = 2 * time.Second

// Process is a program that can be started again and again, with the same
// arguments and the same log. Its methods may be called at any time by several
// goroutines.
type Process struct {
	name     string
	args     []string
	env      []string
	log      string
	detached bool // outlives us
	place    place.Place
	// onTerm is the exit status of one that ended as it was asked to, beside 0: Gitaly
	// calls every end by a signal unclean.
	onTerm int

	mu    sync.Mutex
	run   *run     // the latest one, nil before the first; guarded by mu
	flags []string // further ones; guarded by mu
	// program is the program of the next life; guarded by mu.
	program string
}

// run is one life of a process.
type run struct {
	command *exec.Cmd
	logFrom int64           // where its part of the log begins
	ended   <-chan struct{} // closed once it has ended and there is a state
	noted   bool            // somebody ended it or knows how it ended; guarded by the Process's mu
}

// Become has the next lives of the process run another program, which takes the same
// arguments.
func (p *Process) Become(program string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.program = program
}

// Program is the program of the next life of the process.
func (p *Process) Program() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.program
}

// Start starts the process, which must not run, with further variables
// ("NAME=value") for this one life. It returns when the program was executed,
// not when it serves.
func (p *Process) Start(env ...string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.run.alive() {
		return fmt.Errorf("start %s: it is running", p.name)
	}
	r, err := p.spawn(env)
	if err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	p.run = r
	return nil
}

// Flags replaces the further arguments that the process is started with from its
// next start on.
func (p *Process) Flags(flags ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.flags = flags
}

// Running tells whether the process was started and has not ended. A paused one
// is running.
func (p *Process) Running() bool { return p.current().alive() }

// PID is the process id of the latest life, 0 before the first.
func (p *Process) PID() int {
	if r := p.current(); r != nil {
		return r.command.Process.Pid
	}
	return 0
}

// Label is the name of the process in errors and diagnoses; an instance has it in
// its configuration too.
func (p *Process) Label() string { return p.name }

// Log is the path of the file that takes the output of the process, in all its lives.
func (p *Process) Log() string { return p.log }

// Ended is closed when the process has ended, and nil (never ready) before the
// first Start.
func (p *Process) Ended() <-chan struct{} {
	if r := p.current(); r != nil {
		return r.ended
	}
	return nil
}

// Kill ends the process as kill -9 does, at any moment, and returns when
// it is gone. It does nothing to a process that has ended.
func (p *Process) Kill() error {
	r := p.note()
	if r == nil {
		return nil
	}
	if err := r.signal(syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill %s: %w", p.name, err)
	}
	limit := time.NewTimer(killLimit)
	defer limit.Stop()
	select {
	case <-r.ended:
		return nil
	case <-limit.C:
		return fmt.Errorf("kill %s: process %d is still there after %v", p.name, r.command.Process.Pid, killLimit)
	}
}

// Terminate asks the process to end with SIGTERM, a paused one too, and returns
// when it is gone. One that is there when ctx ends is killed, after it was asked to
// write down its goroutines. The error says so, or is an *ExitError if it ended otherwise than well. It does nothing
// to a process that has ended.
func (p *Process) Terminate(ctx context.Context) error {
	r := p.note()
	if !r.alive() {
		return nil
	}
	if err := errors.Join(r.signal(syscall.SIGTERM), r.signal(syscall.SIGCONT)); err != nil {
		return fmt.Errorf("terminate %s: %w", p.name, err)
	}
	select {
	case <-r.ended:
		if r.state().ExitCode() == p.onTerm {
			return nil
		}
		return p.exit(r)
	case <-ctx.Done():
		p.dump(r)
		err := fmt.Errorf("terminate %s: %w; killed; the end of its log %s:\n%s", p.name, context.Cause(ctx), p.log, p.tail(r))
		return errors.Join(err, p.Kill())
	}
}

// dump has a Go program write its goroutines to its log, which ends it.
func (p *Process) dump(r *run) {
	if r.signal(syscall.SIGQUIT) != nil {
		return // it is about to be killed anyway
	}
	limit := time.NewTimer(dumpLimit)
	defer limit.Stop()
	select {
	case <-r.ended:
	case <-limit.C:
	}
}

// Pause stops the process with SIGSTOP: its connections stay open, and it does
// nothing.
func (p *Process) Pause() error { return p.send(syscall.SIGSTOP) }

// Resume ends a Pause.
func (p *Process) Resume() error { return p.send(syscall.SIGCONT) }

// Hangup sends SIGHUP, at which an instance reads its settings again.
func (p *Process) Hangup() error { return p.send(syscall.SIGHUP) }

// Wait waits for the end of the process. It returns nil for status 0, else an
// *ExitError; or another error when ctx ended first.
func (p *Process) Wait(ctx context.Context) error {
	r := p.current()
	if r == nil {
		return fmt.Errorf("wait for the end of %s: it was never started", p.name)
	}
	select {
	case <-r.ended:
		p.note()
		return p.exit(r)
	case <-ctx.Done():
		return fmt.Errorf("wait for the end of %s: %w", p.name, context.Cause(ctx))
	}
}

func (p *Process) send(signal syscall.Signal) error {
	r := p.current()
	if !r.alive() {
		return fmt.Errorf("send %v to %s: it is not running", signal, p.name)
	}
	if err := r.signal(signal); err != nil {
		return fmt.Errorf("send %v to %s: %w", signal, p.name, err)
	}
	return nil
}

func (p *Process) current() *run {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.run
}

// note returns the current life and marks its end as no surprise.
func (p *Process) note() *run {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.run != nil {
		p.run.noted = true
	}
	return p.run
}

// surprise is the end of a life that no test asked for or has seen, if it was a
// bad one.
func (p *Process) surprise() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.run == nil || p.run.noted || p.run.alive() {
		return nil
	}
	return p.exit(p.run)
}

// state is how it ended; only after that.
func (r *run) state() *os.ProcessState { return r.command.ProcessState }

func (r *run) alive() bool {
	if r == nil {
		return false
	}
	select {
	case <-r.ended:
		return false
	default:
		return true
	}
}

// signal sends a signal; to a process that has ended it does nothing.
func (r *run) signal(signal syscall.Signal) error {
	if err := r.command.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// command is the process as the next life of it is executed. Caller holds mu.
func (p *Process) command(env []string) *exec.Cmd {
	cmd := exec.Command(p.program, slices.Concat(p.args, p.flags)...)
	cmd.Env = append(append(cmd.Env, p.env...), env...)
	// The directory of its starter may go before it does.
	cmd.Dir = "/"
	if p.detached {
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	} else {
		// A group of its own: a Ctrl-C in the terminal is for its owner, which stops it.
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	}
	return cmd
}

func (c *Cluster) newProcess(label, program, log string, env ...string) *Process {
	return &Process{
		name: label, program: program, log: log, detached: c.options.Detached,
		env: append(c.Binaries.environment(), env...),
	}
}
