package store

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"

	"praefect/consensus/setup"
	"praefect/test/must"
)

// guarded returns a guarded store on a real file, and the changes made to it.
func guarded(t *testing.T) (*guardedStore, *[]string) {
	bolt, err := openBolt(filepath.Join(t.TempDir(), LogFile))
	must.Succeed(t, err)
	t.Cleanup(func() {
		if err := bolt.Close(); err != nil {
			t.Error(err)
		}
	})
	var ops []string
	return &guardedStore{store: recorder{bolt, &ops}, guard: newGuard(time.Minute), size: newLogSize(math.MaxInt64), seconds: newSeconds()}, &ops
}

// recorder notes the changes made to a store.
type recorder struct {
	setup.LogStore
	ops *[]string
}

func (r recorder) note(format string, args ...any) {
	*r.ops = append(*r.ops, fmt.Sprintf(format, args...))
}

func (r recorder) DeleteRange(first, last uint64) error {
	r.note("delete %d %d", first, last)
	return r.LogStore.DeleteRange(first, last)
}

func (r recorder) Set(key, value []byte) error {
	r.note("set %s", key)
	return r.LogStore.Set(key, value)
}

func (r recorder) SetUint64(key []byte, value uint64) error {
	r.note("set %s", key)
	return r.LogStore.SetUint64(key, value)
}

var errBroken = errors.New("the disk is broken")

func TestStableStore_aVoteIsOneValue(t *testing.T) {
	g, ops := guarded(t)
	read := func() (uint64, string) {
		s := &stableStore{guardedStore: g} // as after a restart
		term, err := s.GetUint64([]byte(keyVoteTerm))
		must.Succeed(t, err)
		candidate, err := s.Get([]byte(keyVoteFor))
		must.Succeed(t, err)
		return term, string(candidate)
	}
	s := &stableStore{guardedStore: g}
	if _, err := s.GetUint64([]byte(keyVoteTerm)); !errors.Is(err, raftboltdb.ErrKeyNotFound) {
		t.Errorf("before any vote: got %v, want %v", err, raftboltdb.ErrKeyNotFound)
	}
	vote := func(term uint64, candidate string) {
		must.Succeed(t, errors.Join(s.SetUint64([]byte(keyVoteTerm), term), s.Set([]byte(keyVoteFor), []byte(candidate))))
	}
	vote(3, "x")
	if term, candidate := read(); term != 3 || candidate != "x" {
		t.Errorf("voted in %d for %q, want 3 for x", term, candidate)
	}
	if err := s.SetUint64([]byte(keyVoteTerm), 4); err != nil { // and dies
		t.Fatal(err)
	}
	if term, candidate := read(); term != 3 || candidate != "x" {
		t.Errorf("half a vote counts: %d for %q, want 3 for x", term, candidate)
	}
	vote(4, "y")
	if term, candidate := read(); term != 4 || candidate != "y" {
		t.Errorf("voted in %d for %q, want 4 for y", term, candidate)
	}
	if want := []string{"set LastVote", "set LastVote"}; !reflect.DeepEqual(*ops, want) {
		t.Errorf("wrote %q, want %q", *ops, want)
	}
	must.Succeed(t, g.store.Set([]byte(keyVote), []byte("short")))
	if _, err := s.Get([]byte(keyVoteFor)); err == nil {
		t.Error("a damaged vote was read")
	}
}

func TestStableStore_otherValues(t *testing.T) {
	g, _ := guarded(t)
	s := &stableStore{guardedStore: g}
	must.Succeed(t, errors.Join(s.SetUint64([]byte(keyTerm), 7), s.Set([]byte("other"), []byte("value"))))
	if term, err := s.GetUint64([]byte(keyTerm)); err != nil || term != 7 {
		t.Errorf("term %d, %v", term, err)
	}
	if value, err := s.Get([]byte("other")); err != nil || string(value) != "value" {
		t.Errorf("value %q, %v", value, err)
	}
}

func TestGuardedStore_DeleteRange(t *testing.T) {
	g, ops := guarded(t)
	var logs []*raft.Log
	for i := range uint64(2*deleteChunk + 10) {
		logs = append(logs, &raft.Log{Index: i + 1, Term: 1})
	}
	must.Succeed(t, g.StoreLogs(logs))
	for _, r := range []struct {
		first, last uint64
		want        []string
		left        [2]uint64
	}{
		{2*deleteChunk + 6, 2*deleteChunk + 10, []string{"delete 8198 8202"}, [2]uint64{1, 2*deleteChunk + 5}},
		{1, 2*deleteChunk + 2, []string{"delete 1 4096", "delete 4097 8192", "delete 8193 8194"}, [2]uint64{8195, 8197}},
		{8195, 8197, []string{"delete 8195 8197"}, [2]uint64{}},
	} {
		*ops = nil
		must.Succeed(t, g.DeleteRange(r.first, r.last))
		if !reflect.DeepEqual(*ops, r.want) {
			t.Errorf("got %q, want %q", *ops, r.want)
		}
		first, err := g.FirstIndex()
		last, lastErr := g.LastIndex()
		if got := [2]uint64{first, last}; got != r.left || err != nil || lastErr != nil {
			t.Errorf("left %v, %v, %v, want %v", got, err, lastErr, r.left)
		}
	}
}

func TestGuard_do(t *testing.T) {
	g := newGuard(time.Minute)
	for _, harmless := range []error{nil, raft.ErrLogNotFound, raftboltdb.ErrKeyNotFound} {
		if err := g.do("read", func() error { return harmless }); !errors.Is(err, harmless) || g.Failure() != nil {
			t.Errorf("got %v, failed with %v", err, g.Failure())
		}
	}
	if err := g.do("write", func() error { return errBroken }); !errors.Is(err, errBroken) {
		t.Errorf("got %v, want %v", err, errBroken)
	}
	called := false
	again := func() error { called = true; return nil }
	if err := g.do("write", again); !errors.Is(err, errBroken) || called {
		t.Errorf("after a failure: got %v, called %t", err, called)
	}
	g.Arm()
	ended := make(chan struct{})
	returned := false
	go func() {
		defer close(ended)
		_ = g.do("write", again)
		returned = true
	}()
	<-ended
	if returned || called {
		t.Errorf("armed: returned %t, called %t", returned, called)
	}
}

func TestGuard_do_hangs(t *testing.T) {
	g := newGuard(time.Millisecond)
	err := g.do("write", func() error {
		<-g.Healthy.Done()
		return nil
	})
	if err == nil || !strings.Contains(err.Error(), "write: the disk has not answered") {
		t.Errorf("got %v", err)
	}
}
