package consensus_test

import (
	"sync"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"

	"praefect/consensus/setup"
)

// memory is what an instance keeps over its lives.
type memory struct {
	log       *raft.InmemStore
	snapshots *raft.InmemSnapshotStore

	mu   sync.Mutex
	life *opened       // guarded by mu
	hang chan struct{} // guarded by mu; appends wait until it is closed
}

func newMemory() *memory {
	return &memory{log: raft.NewInmemStore(), snapshots: raft.NewInmemSnapshotStore()}
}

// open is for a new life of the process.
func (m *memory) open() (setup.LogStore, raft.SnapshotStore) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.life = &opened{m.log, m}
	return m.life, m.snapshots
}

// end is the end of the process: nothing of it is written any more.
func (m *memory) end() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.life = nil
}

// freeze lets appends hang until release is called.
func (m *memory) freeze() (release func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	hang := make(chan struct{})
	m.hang = hang
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		close(hang)
		m.hang = nil
	}
}

// opened is the memory in one life. It answers as the file does.
type opened struct {
	*raft.InmemStore
	m *memory
}

// Close implements consensus.LogStore: what the memory holds stays.
func (o *opened) Close() error { return nil }

// Get implements raft.StableStore.
func (o *opened) Get(key []byte) ([]byte, error) {
	value, err := o.InmemStore.Get(key)
	if err != nil {
		return nil, raftboltdb.ErrKeyNotFound // there is no other error
	}
	return value, nil
}

// GetUint64 implements raft.StableStore. What was never written is 0 there.
func (o *opened) GetUint64(key []byte) (uint64, error) {
	value, err := o.InmemStore.GetUint64(key)
	if value == 0 || err != nil {
		return 0, raftboltdb.ErrKeyNotFound
	}
	return value, nil
}

// StoreLogs implements raft.LogStore.
func (o *opened) StoreLogs(logs []*raft.Log) error {
	o.m.mu.Lock()
	hang := o.m.hang
	o.m.mu.Unlock()
	if hang != nil {
		<-hang
	}
	o.m.mu.Lock()
	defer o.m.mu.Unlock()
	if o.m.life != o {
		return nil // there is nobody to be told
	}
	return o.InmemStore.StoreLogs(logs)
}

// StoreLog implements raft.LogStore.
func (o *opened) StoreLog(log *raft.Log) error { return o.StoreLogs([]*raft.Log{log}) }
