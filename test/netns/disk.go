package netns

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"praefect/test/must"
)

// Disk is a small file system of its own, which can be full or hang. Its owner
// calls Close, when no process uses it any more. Its methods are for one goroutine
// at a time.
type Disk struct {
	// Dir is where it is mounted.
	Dir    string
	frozen bool
}

// ballast is the file that fills a disk.
const ballast = "ballast"

// NewFreezableDisk mounts a file system of that many bytes at a directory, which it
// makes. It lies in a file beside the directory.
func NewFreezableDisk(ctx context.Context, dir string, size int64) (*Disk, error) {
	image := dir + ".img"
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make a disk: %w", err)
	}
	file, err := os.Create(image)
	if err == nil {
		err = errors.Join(file.Truncate(size), file.Close())
	}
	if err != nil {
		return nil, fmt.Errorf("make the image of a disk: %w", err)
	}
	if err := run(ctx, "mkfs.ext4", "-q", image); err != nil {
		return nil, fmt.Errorf("make a disk: %w", err)
	}
	if err := run(ctx, "mount", "-o", "loop", image, dir); err != nil {
		return nil, fmt.Errorf("make a disk: %w", err)
	}
	// A process expects to find only its own files in the directory.
	return &Disk{Dir: dir}, os.Remove(filepath.Join(dir, "lost+found"))
}

// Run closes a disk, just made with that error, at the end of a test.
func (d *Disk) Run(t testing.TB, err error) *Disk {
	t.Helper()
	must.Succeed(t, err)
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// Fill leaves no space on the disk.
func (d *Disk) Fill() error {
	file, err := os.Create(filepath.Join(d.Dir, ballast))
	if err != nil {
		return fmt.Errorf("fill a disk: %w", err)
	}
	defer func() { _ = file.Close() }() // whether the last of it was written is all the same
	for block := make([]byte, 64<<10); len(block) > 0; {
		_, err := file.Write(block)
		if err != nil && !errors.Is(err, unix.ENOSPC) {
			return fmt.Errorf("fill a disk: %w", err)
		}
		if err != nil {
			block = block[:len(block)/2] // less than a block is left
		}
	}
	return nil
}

// Free ends a Fill.
func (d *Disk) Free() error {
	if err := os.Remove(filepath.Join(d.Dir, ballast)); err != nil {
		return fmt.Errorf("free a disk: %w", err)
	}
	return nil
}

// Freeze lets everything that changes the disk hang until Thaw; not even a
// SIGKILL ends a process that waits for it.
func (d *Disk) Freeze(ctx context.Context) error {
	if err := run(ctx, "fsfreeze", "--freeze", d.Dir); err != nil {
		return err
	}
	d.frozen = true
	return nil
}

// Thaw ends a Freeze.
func (d *Disk) Thaw(ctx context.Context) error {
	if !d.frozen {
		return nil
	}
	d.frozen = false
	return run(ctx, "fsfreeze", "--unfreeze", d.Dir)
}

// Close thaws the disk and unmounts it, even from under a process.
func (d *Disk) Close() error {
	ctx := context.Background() // it is bounded by run
	return errors.Join(d.Thaw(ctx), run(ctx, "umount", "--lazy", d.Dir))
}
