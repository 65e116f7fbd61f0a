package store

import (
	"encoding/binary"
	"errors"
)

// The library's names of the term and of the two halves of a vote, and ours of
// the whole vote.
const (
	keyTerm     = "CurrentTerm"
	keyVoteTerm = "LastVoteTerm"
	keyVoteFor  = "LastVoteCand"
	keyVote     = "LastVote"
)

// stableStore keeps a vote as one value. The library writes it as two, the term
// first; a process that died in between would find the new term with the former
// candidate, take that for its vote, and repeat it to that candidate without
// comparing logs (hashicorp/raft issue 661). Only the library's main goroutine
// uses it.
type stableStore struct {
	*guardedStore
	// term is the first half of a vote, held back until the second comes.
	term uint64
}

// Set implements raft.StableStore.
func (s *stableStore) Set(key, value []byte) error {
	if string(key) == keyVoteFor {
		key, value = []byte(keyVote), append(binary.BigEndian.AppendUint64(nil, s.term), value...)
	}
	return s.do("write value", func() error { return s.store.Set(key, value) })
}

// SetUint64 implements raft.StableStore.
func (s *stableStore) SetUint64(key []byte, value uint64) error {
	if string(key) == keyVoteTerm {
		s.term = value
		return nil
	}
	return s.do("write value", func() error { return s.store.SetUint64(key, value) })
}

// Get implements raft.StableStore.
func (s *stableStore) Get(key []byte) ([]byte, error) {
	if string(key) == keyVoteFor {
		vote, err := s.vote()
		if err != nil {
			return nil, err
		}
		return vote[8:], nil
	}
	return s.get(key)
}

// GetUint64 implements raft.StableStore.
func (s *stableStore) GetUint64(key []byte) (value uint64, err error) {
	if string(key) == keyVoteTerm {
		vote, err := s.vote()
		if err != nil {
			return 0, err
		}
		return binary.BigEndian.Uint64(vote), nil
	}
	err = s.do("read value", func() (err error) { value, err = s.store.GetUint64(key); return err })
	return value, err
}

func (s *stableStore) get(key []byte) (value []byte, err error) {
	err = s.do("read value", func() (err error) { value, err = s.store.Get(key); return err })
	return value, err
}

func (s *stableStore) vote() ([]byte, error) {
	vote, err := s.get([]byte(keyVote))
	if err == nil && len(vote) < 8 {
		err = errors.New("the last vote is damaged")
	}
	return vote, err
}
