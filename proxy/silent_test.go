package proxy

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"
)

// mutedListener accepts connections over which the storage says nothing while it is
// muted, as one that is stopped.
type mutedListener struct {
	net.Listener
	backend *backend
}

func (l mutedListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return mutedConn{conn, l.backend}, nil
}

type mutedConn struct {
	net.Conn
	backend *backend
}

// Write waits while the storage is muted.
func (c mutedConn) Write(p []byte) (int, error) {
	c.backend.voice.RLock()
	defer c.backend.voice.RUnlock()
	return c.Conn.Write(p)
}

// TestRead_silentStorageIsMadeUpFor stops two of three storages while reads are on
// their way to all of them: none fails, and none waits for its own deadline.
func TestRead_silentStorageIsMadeUpFor(t *testing.T) {
	w := newMemoryVote(t)
	for _, name := range []string{"gitaly-1", "gitaly-2"} {
		voice := &w.storages[name].voice
		voice.Lock()
		defer voice.Unlock()
	}
	var reads sync.WaitGroup
	for range 12 {
		reads.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			if _, err := w.refExists(ctx, "a.git", "refs/heads/main"); err != nil {
				t.Errorf("a read failed: %v", err)
			}
		})
	}
	reads.Wait()
}
