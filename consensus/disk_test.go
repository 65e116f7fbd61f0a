package consensus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"praefect/consensus/setup"
	"praefect/consensus/store"
	"praefect/test/must"
)

// used returns a directory that a node has used.
func used(t *testing.T) string {
	dir := t.TempDir()
	i := begin(t, dir).ready(t)
	i.must(t, define())
	for n := range 200 {
		i.must(t, openIntent(strings.Repeat("a", n+1)))
	}
	must.Succeed(t, i.library.Raft().Snapshot().Error())
	i.stop(t)
	return dir
}

// refused opens the directory, which must not work, and returns the error.
func refused(t *testing.T, dir string) error {
	t.Helper()
	n, err := open(t, dir)
	if err == nil {
		n.Close()
		t.Fatal("opened")
	}
	if !strings.Contains(err.Error(), "raft.data_dir") || !strings.Contains(err.Error(), dir) {
		t.Errorf("the error does not name the key and the directory: %v", err)
	}
	return err
}

func TestOpen_locked(t *testing.T) {
	dir := t.TempDir()
	i := begin(t, dir).ready(t)
	err := refused(t, dir)
	if !strings.Contains(err.Error(), "another process") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ctx, setup.Config{DataDir: dir, LockTimeout: time.Hour}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	i.stop(t)
	begin(t, dir).ready(t)
}

func TestOpen_waitsForTheFormerProcess(t *testing.T) {
	dir := t.TempDir()
	first := begin(t, dir).ready(t)
	opened := make(chan error, 1)
	go func() {
		n, err := Open(context.Background(), setup.Config{DataDir: dir, LockTimeout: patience})
		if err == nil {
			err = n.Close()
		}
		opened <- err
	}()
	first.stop(t)
	if err := <-opened; err != nil {
		t.Error(err)
	}
}

func TestOpen_readOnlyDirectory(t *testing.T) {
	parent := t.TempDir()
	must.Succeed(t, os.Chmod(parent, 0o555))
	// Nothing is read-only to root, but this thread can be another user.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if os.Geteuid() == 0 {
		must.Succeed(t, unix.Setfsuid(65534))
		defer func() {
			if err := unix.Setfsuid(0); err != nil {
				t.Error(err)
			}
		}()
	}
	if err := refused(t, filepath.Join(parent, "data")); !errors.Is(err, os.ErrPermission) {
		t.Errorf("missing: got %v, want %v", err, os.ErrPermission)
	}
	if err := refused(t, parent); !errors.Is(err, os.ErrPermission) {
		t.Errorf("there: got %v, want %v", err, os.ErrPermission)
	}
}

func TestOpen_withoutADirectory(t *testing.T) {
	if _, err := Open(t.Context(), setup.Config{}); err == nil {
		t.Error("opened without a directory")
	}
}

func TestOpen_notADirectory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	must.Succeed(t, os.WriteFile(path, nil, 0o600))
	refused(t, path)
}

func TestOpen_damage(t *testing.T) {
	truncate := func(name string, size func(int64) int64) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			path := filepath.Join(dir, name)
			info, err := os.Stat(path)
			must.Succeed(t, err)
			must.Succeed(t, os.Truncate(path, size(info.Size())))
		}
	}
	scribble := func(name string, from, to int) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			path := filepath.Join(dir, name)
			data, err := os.ReadFile(path)
			must.Succeed(t, err)
			copy(data[from:min(to, len(data))], bytes.Repeat([]byte{0xa5}, to-from))
			must.Succeed(t, os.WriteFile(path, data, 0o600))
		}
	}
	remove := func(names ...string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			for _, name := range names {
				must.Succeed(t, os.RemoveAll(filepath.Join(dir, name)))
			}
		}
	}
	whole := used(t)
	for name, damage := range map[string]func(*testing.T, string){
		"the log is half as long":       truncate(store.LogFile, func(n int64) int64 { return n / 2 }),
		"the log lacks a page":          truncate(store.LogFile, func(int64) int64 { return 3 * 4096 }),
		"the log is a page":             truncate(store.LogFile, func(int64) int64 { return 4096 }),
		"the log is a byte":             truncate(store.LogFile, func(int64) int64 { return 1 }),
		"the log is empty":              truncate(store.LogFile, func(int64) int64 { return 0 }),
		"the log is missing":            remove(store.LogFile),
		"log and snapshots are missing": remove(store.LogFile, "snapshots"),
		"the log is scribbled on":       scribble(store.LogFile, 2*4096, 1<<30),
		"the log's head too":            scribble(store.LogFile, 0, 1<<30),
		"the identity is missing":       remove(store.IdentityFile),
		"the identity is empty":         truncate(store.IdentityFile, func(int64) int64 { return 0 }),
		"the identity is cut":           truncate(store.IdentityFile, func(int64) int64 { return 10 }),
		"the identity is another's":     scribble(store.IdentityFile, 0, 5),
		"the snapshot is damaged": func(t *testing.T, dir string) {
			found, err := filepath.Glob(filepath.Join(dir, "snapshots", "*", "state.bin"))
			if err != nil || len(found) != 1 {
				t.Fatal(found, err)
			}
			name, err := filepath.Rel(dir, found[0])
			must.Succeed(t, err)
			scribble(name, 100, 120)(t, dir)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "data")
			must.Succeed(t, os.CopyFS(dir, os.DirFS(whole)))
			damage(t, dir)
			before := listing(t, dir)
			refused(t, dir)
			if after := listing(t, dir); after != before {
				t.Errorf("the directory was changed from\n%s\nto\n%s", before, after)
			}
		})
	}
}

// listing returns the names and sizes of what is in the directory.
func listing(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && !d.IsDir() && info.Size() > 0 { // opening may make an empty one
			fmt.Fprintln(&all, path, info.Size())
		}
		return err
	})
	must.Succeed(t, err)
	return all.String()
}
