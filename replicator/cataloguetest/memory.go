package cataloguetest

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"praefect/fsm/state"
	"praefect/replicator/queue"
)

// Memory is a catalogue in memory, which may be away.
type Memory struct {
	mu    sync.Mutex
	lines map[state.Key]*line
	steps map[string]time.Time
	last  int64
	calls int
	away  bool
}

// line is an entry; a zero looked at is requested.
type line struct {
	id       int64
	lookedAt time.Time
	verified map[string]time.Time
}

// NewMemory makes a catalogue with the repositories.
func NewMemory(keys ...state.Key) *Memory {
	m := &Memory{lines: make(map[state.Key]*line), steps: make(map[string]time.Time)}
	m.add(keys)
	return m
}

// SetAway has every call fail from now on, or none.
func (m *Memory) SetAway(away bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.away = away
}

// Calls is how many calls there were.
func (m *Memory) Calls() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.calls
}

// Paths are the paths of all virtual storages, sorted.
func (m *Memory) Paths() (paths []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key := range m.lines {
		paths = append(paths, key.RelativePath)
	}
	slices.Sort(paths)
	return paths
}

// Verified tells when the replicas of a repository were verified.
func (m *Memory) Verified(key state.Key) map[string]time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	if l := m.lines[key]; l != nil {
		return maps.Clone(l.verified)
	}
	return nil
}

// do runs a call.
func (m *Memory) do(call func()) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls++
	if m.away {
		return fmt.Errorf("%w: it was stopped", queue.ErrUnavailable)
	}
	call()
	return nil
}

func (m *Memory) add(keys []state.Key) {
	for _, key := range keys {
		if m.lines[key] == nil {
			m.last++
			m.lines[key] = &line{id: m.last, lookedAt: time.Now(), verified: make(map[string]time.Time)}
		}
	}
}

// Add implements Catalogue.
func (m *Memory) Add(_ context.Context, keys []state.Key) error { return m.do(func() { m.add(keys) }) }

// Remove implements Catalogue.
func (m *Memory) Remove(_ context.Context, keys []state.Key) error {
	return m.do(func() {
		for _, key := range keys {
			delete(m.lines, key)
		}
	})
}

// Page implements Catalogue.
func (m *Memory) Page(_ context.Context, virtualStorage, after string, limit int) (paths []string, err error) {
	err = m.do(func() {
		for key := range m.lines {
			if key.VirtualStorage == virtualStorage && key.RelativePath > after {
				paths = append(paths, key.RelativePath)
			}
		}
		slices.Sort(paths)
		paths = paths[:min(limit, len(paths))]
	})
	return paths, err
}

func (m *Memory) turn(key state.Key) queue.Turn {
	l := m.lines[key]
	t := queue.Turn{ID: l.id, Key: key, Requested: l.lookedAt.IsZero(), Since: -time.Second}
	if !t.Requested {
		t.Age = time.Since(l.lookedAt)
	}
	if step, ok := m.steps[key.VirtualStorage]; ok {
		t.Since = time.Since(step)
	}
	return t
}

// of are the keys of a virtual storage, in their order of turns.
func (m *Memory) of(virtualStorage string) []state.Key {
	keys := slices.DeleteFunc(slices.Collect(maps.Keys(m.lines)), func(k state.Key) bool { return k.VirtualStorage != virtualStorage })
	slices.SortFunc(keys, func(a, b state.Key) int {
		x, y := m.lines[a], m.lines[b]
		return cmp.Or(x.lookedAt.Compare(y.lookedAt), cmp.Compare(x.id, y.id))
	})
	return keys
}

// Next implements queue.Verifications.
func (m *Memory) Next(_ context.Context, virtualStorage string) (t queue.Turn, found bool, err error) {
	err = m.do(func() {
		if keys := m.of(virtualStorage); len(keys) > 0 {
			t, found = m.turn(keys[0]), true
		}
	})
	return t, found, err
}

// TurnOf implements queue.Verifications.
func (m *Memory) TurnOf(_ context.Context, key state.Key) (t queue.Turn, err error) {
	err = m.do(func() {
		m.add([]state.Key{key})
		t = m.turn(key)
	})
	return t, err
}

// Note implements queue.Verifications.
func (m *Memory) Note(_ context.Context, t queue.Turn, looked queue.Looked) error {
	return m.do(func() {
		m.steps[t.VirtualStorage] = time.Now()
		l := m.lines[t.Key]
		if l == nil || l.id != t.ID {
			return
		}
		if t.Requested || !l.lookedAt.IsZero() {
			l.lookedAt = time.Now().Add(-looked.Back)
		}
		for _, storage := range looked.Verified {
			l.verified[storage] = time.Now()
		}
		for _, storage := range looked.Unverified {
			delete(l.verified, storage)
		}
	})
}

// Waiting implements queue.Verifications.
func (m *Memory) Waiting(_ context.Context, virtualStorage string, interval time.Duration, limit int) (requested, expired int, err error) {
	err = m.do(func() {
		for _, key := range m.of(virtualStorage) {
			switch l := m.lines[key]; {
			case l.lookedAt.IsZero():
				requested++
			case time.Since(l.lookedAt) >= interval:
				expired++
			}
		}
		requested, expired = min(requested, limit), min(expired, limit)
	})
	return requested, expired, err
}

// Count implements queue.Verifications.
func (m *Memory) Count(_ context.Context, virtualStorage string) (n int, err error) {
	err = m.do(func() { n = len(m.of(virtualStorage)) })
	return n, err
}

// Request implements queue.Verifications.
func (m *Memory) Request(_ context.Context, marked queue.Marked) (n int64, err error) {
	err = m.do(func() {
		for _, key := range m.of(marked.VirtualStorage) {
			if marked.RelativePath != "" && key != marked.Key {
				continue
			}
			n++
			l := m.lines[key]
			l.lookedAt = time.Time{}
			for storage := range l.verified {
				if marked.Storage == "" || marked.Storage == storage {
					delete(l.verified, storage)
				}
			}
		}
	})
	return n, err
}
