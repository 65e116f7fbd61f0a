package store

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"praefect/consensus/setup"
)

// IdentityFile has the Identity.
const IdentityFile = "instance.json"

// Identity describes the instance that owns the data directory, and is kept there. The
// id is random, so that a directory that was lost can never come back under the
// id of the former one and vote twice.
type Identity struct {
	Version int    `json:"version"`
	ID      string `json:"id"`
	// Name is the operator's name for the instance, once one was given.
	Name string `json:"name,omitempty"`
	// Bootstrapped is true once the log has had its first entry: from then on
	// a missing log is a loss, not a beginning.
	Bootstrapped bool `json:"bootstrapped"`
	// Founders are the instances with which this one is about to begin a
	// cluster, or has begun it; none in a cluster of one and in one that was
	// joined.
	Founders []Founder `json:"founders,omitempty"`
	// Member is true once the instance was sure to be one of the cluster's
	// members: if it is not one later, it was removed.
	Member bool `json:"member,omitempty"`
	// ClusterID is the cluster's, once it is known.
	ClusterID string `json:"cluster_id,omitempty"`
	// Replaced are the ids of clusters that this one has replaced by an operator's word: an
	// instance that still belongs to one of them keeps no member of this one from serving.
	Replaced []string `json:"replaced,omitempty"`
	// Removed are the ids of instances that were members and were removed, the last ones at the
	// end. An id never comes back: an instance that joins again has a new one.
	Removed []string `json:"removed,omitempty"`
}

// Founder is one of the instances that begin a cluster together.
type Founder struct {
	Name string `json:"name"`
	ID   string `json:"id"`
	Addr string `json:"addr"`
}

// readIdentity returns the identity kept in the directory, or a new one that
// it keeps there first. The directory must be locked.
func readIdentity(dir string) (Identity, error) {
	data, err := os.ReadFile(filepath.Join(dir, IdentityFile))
	if errors.Is(err, os.ErrNotExist) {
		if _, err := os.Stat(filepath.Join(dir, LogFile)); err == nil {
			return Identity{}, fmt.Errorf("there is a log, but no %s", IdentityFile)
		}
		id := Identity{Version: 1, ID: rand.Text()}
		return id, id.write(dir)
	}
	if err != nil {
		return Identity{}, err
	}
	var id Identity
	if err := json.Unmarshal(data, &id); err != nil {
		return Identity{}, fmt.Errorf("%s is damaged: %w", IdentityFile, err)
	}
	if id.Version != 1 || id.ID == "" {
		return Identity{}, fmt.Errorf("%s is damaged, or of another version of this program", IdentityFile)
	}
	return id, nil
}

// ownedBy refuses the directory to an instance of another name: it would take the part of one that
// is down, and vote a second time when that one comes back.
func (id Identity) ownedBy(c setup.Config) error {
	if !c.Named || id.Name == "" || id.Name == c.Name {
		return nil
	}
	return fmt.Errorf("it belongs to the instance %q, and raft.name is %q: each instance needs a data directory of its own; "+
		"if this is the same instance under another name, run once: %s", id.Name, c.Name, RenameCommand)
}

// write makes the directory keep the identity.
func (id Identity) write(dir string) error {
	data, err := json.Marshal(id)
	if err != nil {
		return err
	}
	return replaceFile(dir, IdentityFile, append(data, '\n'))
}

// maxRemoved bounds Identity.Removed. The oldest ones are forgotten: the leader then tells
// them that they are no members.
const maxRemoved = 64

// Remove notes that the instances with these ids were removed.
func (i *Identity) Remove(ids []string) {
	all := slices.Clone(i.Removed)
	for _, id := range ids {
		if !slices.Contains(all, id) {
			all = append(all, id)
		}
	}
	i.Removed = all[max(0, len(all)-maxRemoved):]
}

// replaceFile replaces a file as a whole: at any moment, even after a crash, either the former
// content is there or the new one, and after it has returned the new one.
func replaceFile(dir, name string, data []byte) error {
	temp, err := os.CreateTemp(dir, name+".*")
	if err != nil {
		return err
	}
	_, err = temp.Write(data)
	err = errors.Join(err, temp.Sync(), temp.Close())
	if err == nil {
		err = os.Rename(temp.Name(), filepath.Join(dir, name))
	}
	if err != nil {
		return errors.Join(err, os.Remove(temp.Name()))
	}
	return syncDir(dir)
}

// syncDir makes the names in the directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
