package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"praefect/test/workload"
)

// stateName is the name of the directory that holds all of a demo; nothing of
// another name is ever removed.
const stateName = "praefect-demo"

// demo is one run of the command.
type demo struct {
	build  string // directory of the programs and of demo.json
	state  string // directory of the cluster
	stdout io.Writer
	stderr io.Writer
	tour   bool            // with things that happen
	seeds  *workload.Seeds // the repositories that the storages begin with
	record *record         // of the demo that is there, nil if there is none
}

// newDemo finds the programs and the state of an earlier demo.
func newDemo(build string, stdout, stderr io.Writer) (*demo, error) {
	build, err := filepath.Abs(build)
	if err != nil {
		return nil, fmt.Errorf("find the directory of the programs: %w", err)
	}
	d := &demo{build: build, stdout: stdout, stderr: stderr}
	if d.state, err = stateDir(); err != nil {
		return nil, err
	}
	// The copy in the checkout first: its demo may have been started with another
	// environment than ours. The one beside the state is there after a make clean,
	// and for other checkouts.
	for _, path := range []string{d.published(), d.kept()} {
		d.record, err = readRecord(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		d.state = d.record.StateDir
		break
	}
	if filepath.Base(d.state) != stateName {
		return nil, fmt.Errorf("the state directory %q is not called %q: this is not ours to touch", d.state, stateName)
	}
	return d, nil
}

// stateDir is where the state of a new demo goes: out of the checkout, and where
// the user that runs Postgres can get to.
func stateDir() (string, error) {
	if home := os.Getenv("XDG_STATE_HOME"); home != "" {
		return filepath.Abs(filepath.Join(home, stateName))
	}
	if os.Geteuid() == 0 {
		// Root's Postgres runs as another user, which cannot enter root's home.
		return filepath.Join("/var/lib", stateName), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("find a place for the demo's state (XDG_STATE_HOME may name one): %w", err)
	}
	return filepath.Join(home, ".local", "state", stateName), nil
}

// published is the path of the description for people and programs, kept that of
// the one which stays with the state.
func (d *demo) published() string { return filepath.Join(d.build, "demo.json") }
func (d *demo) kept() string      { return filepath.Join(d.state, "demo.json") }

// lock keeps other runs of the command away from the same state until release.
func (d *demo) lock() (release func(), err error) {
	parent := filepath.Dir(d.state)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return nil, fmt.Errorf("make the place of the demo's state: %w", err)
	}
	// A lock on the directory leaves no file behind.
	dir, err := os.Open(parent)
	if err != nil {
		return nil, fmt.Errorf("open the place of the demo's state: %w", err)
	}
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: another run of this command is under way: %w", parent, err), dir.Close())
	}
	return func() { _ = dir.Close() }, nil // the lock ends with the descriptor, at the latest with us
}
