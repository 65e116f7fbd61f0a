package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"praefect/test/cluster"
)

const (
	stopLimit = 20 * time.Second // after which a process is killed
	killLimit = 10 * time.Second // after which we give up on a killed one
	pollEvery = 20 * time.Millisecond
)

// signals are the signals that ask each program of a demo to end in good order, in the order
// in which they are to end.
var signals = []struct {
	program string
	signal  syscall.Signal
}{
	{"haproxy", syscall.SIGTERM},
	{cluster.Praefect, syscall.SIGTERM},
	{"gitaly", syscall.SIGTERM}, // a real one, before what its hooks ask
	{cluster.TestGitaly, syscall.SIGTERM},
	{"postgres", syscall.SIGINT}, // SIGTERM would wait for clients
}

// process is a running process of a demo.
type process struct {
	pid     int
	program string
}

// processesOf finds the processes of the demo with that state: our programs whose
// command line names something in it. A process id alone would not tell them from
// a later process that got the same.
func processesOf(state string) ([]process, error) {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var found []process
	for _, dir := range dirs {
		// A zombie, which has ended, has no command line.
		line, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // it ended between the two looks
		}
		if err != nil {
			return nil, fmt.Errorf("look at a process: %w", err)
		}
		args := bytes.Split(line, []byte{0})
		program := filepath.Base(string(args[0]))
		ours := slices.ContainsFunc(args[1:], func(arg []byte) bool {
			return strings.Contains(string(arg), state+string(filepath.Separator))
		})
		if !ours || !known(program) {
			continue // somebody who reads a log, say
		}
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			return nil, fmt.Errorf("read the process id of %q: %w", dir, err)
		}
		found = append(found, process{pid, program})
	}
	return found, nil
}

// known tells whether a demo has such a program.
func known(program string) bool {
	for _, s := range signals {
		if s.program == program {
			return true
		}
	}
	return false
}

// stopProcesses ends every process of a demo and returns how many there were.
func stopProcesses(ctx context.Context, state string) (stopped int, err error) {
	all, err := processesOf(state)
	if err != nil {
		return 0, err
	}
	for _, step := range signals {
		var asked []process
		for _, p := range all {
			if p.program == step.program {
				asked = append(asked, p)
			}
		}
		if err := end(ctx, state, asked, step.signal, stopLimit); err != nil {
			return 0, err
		}
	}
	// A process that withstood, or came up meanwhile.
	left, err := processesOf(state)
	if err != nil {
		return 0, err
	}
	if err := end(ctx, state, left, syscall.SIGKILL, killLimit); err != nil {
		return 0, err
	}
	if left, err = processesOf(state); err != nil {
		return 0, err
	}
	if len(left) > 0 {
		return 0, fmt.Errorf("stop the demo: these withstood: %v", left)
	}
	return len(all), nil
}

// end sends the signal to the processes and waits, for a bounded time, until they
// are gone.
func end(ctx context.Context, state string, processes []process, signal syscall.Signal, limit time.Duration) error {
	for _, p := range processes {
		// A paused one gets its signal when it goes on.
		for _, s := range []syscall.Signal{signal, syscall.SIGCONT} {
			if err := syscall.Kill(p.pid, s); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("send %v to %s, process %d: %w", s, p.program, p.pid, err)
			}
		}
	}
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		running, err := processesOf(state)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(processes, func(p process) bool { return slices.Contains(running, p) }) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the end of the demo's processes: %w", context.Cause(ctx))
		case <-limited.Done():
			return nil
		case <-tick.C:
		}
	}
}
