package store

import (
	"errors"
	"fmt"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
)

// keyBegun is ours: a log that was begun, though it may have no entry yet. An
// instance that joins writes it before it takes the first one, so that a log
// that is lost later cannot be mistaken for one that never was.
const keyBegun = "PraefectBegun"

// Begun tells whether the log was begun. If it should have been and is not,
// that is an error: its content is lost.
func (d *Disk) Begun() (bool, error) {
	term, err := d.Term()
	if err != nil {
		return false, err
	}
	begun, err := orZero(d.Stable.GetUint64([]byte(keyBegun)))
	if err != nil {
		return false, fmt.Errorf("look for the beginning: %w", err)
	}
	last, err := d.Logs.LastIndex()
	if err != nil {
		return false, fmt.Errorf("look for a log: %w", err)
	}
	snapshots, err := d.Snapshots.List()
	if err != nil {
		return false, fmt.Errorf("look for snapshots: %w", err)
	}
	has := last > 0 || len(snapshots) > 0
	switch {
	case d.Known().Bootstrapped && (begun > 0 || has && term > 0):
		return true, nil
	case d.Known().Bootstrapped:
		return false, fmt.Errorf("%s has lost what it held: %s", LogFile, remedy)
	case !has && begun == 0:
		return false, nil
	}
	// We died before the directory said so; it says so now.
	return true, d.Note(func(id *Identity) { id.Bootstrapped = true })
}

// Term is the latest term that the instance knew, 0 if none.
func (d *Disk) Term() (uint64, error) {
	term, err := orZero(d.Stable.GetUint64([]byte(keyTerm)))
	if err != nil {
		return 0, fmt.Errorf("look for a term: %w", err)
	}
	return term, nil
}

// orZero takes a value that was never written for 0.
func orZero(value uint64, err error) (uint64, error) {
	if errors.Is(err, raftboltdb.ErrKeyNotFound) {
		return 0, nil
	}
	return value, err
}

// BeginWith writes the first entry of the log: the members of a new cluster.
// If we die before the directory says so, the next start finds the entry and
// says it then.
func (d *Disk) BeginWith(rc *raft.Config, t raft.Transport, members raft.Configuration) error {
	// The library writes the term, then the entry. It takes a term without an
	// entry, which a death in between leaves, for a log.
	if err := d.Stable.SetUint64([]byte(keyTerm), 0); err != nil {
		return fmt.Errorf("begin the log: %w", err)
	}
	if err := raft.BootstrapCluster(rc, d.Logs, d.Stable, d.Snapshots, t, members); err != nil {
		return fmt.Errorf("begin the log: %w", err)
	}
	return d.Note(func(id *Identity) { id.Bootstrapped = true })
}

// BeginEmpty makes the log ready to take the entries that the leader of a cluster sends.
func (d *Disk) BeginEmpty() error {
	if err := d.Stable.SetUint64([]byte(keyBegun), 1); err != nil {
		return fmt.Errorf("begin an empty log: %w", err)
	}
	return d.Note(func(id *Identity) { id.Bootstrapped = true })
}
