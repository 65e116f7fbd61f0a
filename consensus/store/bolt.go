package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
)

// openBolt opens the file of log and values, or makes it.
func openBolt(path string) (*raftboltdb.BoltStore, error) {
	return raftboltdb.New(raftboltdb.Options{Path: path, BoltOptions: boltOptions()})
}

// boltOptions: the list of free pages is rebuilt at the start, not written with
// each commit, which keeps commits cheap when the file has many.
func boltOptions() *bbolt.Options {
	return &bbolt.Options{NoFreelistSync: true, FreelistType: bbolt.FreelistMapType, Timeout: time.Second}
}

// verifyBolt reads the whole file, as opening it for writing will in goroutines
// whose panics would end the process without naming the next step. It measures each entry of
// the log.
func verifyBolt(path string, measure func(index uint64, bytes int)) (err error) {
	options := boltOptions()
	options.ReadOnly = true
	db, err := bbolt.Open(path, 0o600, options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	defer RecoverAs(&err)
	return db.View(func(tx *bbolt.Tx) error {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		if info.Size() < tx.Size() {
			return fmt.Errorf("%d bytes long instead of %d", info.Size(), tx.Size())
		}
		return tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
			return b.ForEach(func(key, value []byte) error {
				if string(name) == "logs" && len(key) == 8 { // as raft-boltdb has them
					measure(binary.BigEndian.Uint64(key), len(value))
				}
				return nil
			})
		})
	})
}

// RecoverAs turns a panic into an error: bbolt and raft panic at the start on data that they cannot
// read.
func RecoverAs(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%v", p)
	}
}
