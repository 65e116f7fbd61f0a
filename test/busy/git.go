package main

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// commits is how many the repository has that the git processes pack: one run takes some seconds
// of a processor.
const commits = 3000

// git keeps a machine busy: it has a repository, and processes that pack it.
type git struct {
	dir  string
	runs atomic.Int64 // that ended well
}

// newGit makes the repository.
func newGit(ctx context.Context, dir string) (*git, error) {
	g := &git{dir: filepath.Join(dir, "busy.git")}
	if out, err := exec.CommandContext(ctx, "git", "init", "--quiet", "--bare", "--template=", g.dir).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("make a repository: %w: %s", err, out)
	}
	var text bytes.Buffer
	for n := range commits {
		content := strings.Repeat(fmt.Sprintf("line %d of a file that changes\n", n), 40)
		message := fmt.Sprintf("commit %d", n)
		fmt.Fprintf(&text, "commit refs/heads/main\nmark :%d\ncommitter A <a@example.org> %d +0000\ndata %d\n%s\n", n+1, 1700000000+n, len(message), message)
		if n > 0 {
			fmt.Fprintf(&text, "from :%d\n", n)
		}
		fmt.Fprintf(&text, "M 100644 inline file-%d\ndata %d\n%s\n", n%50, len(content), content)
	}
	importing := exec.CommandContext(ctx, "git", "-C", g.dir, "fast-import", "--quiet")
	importing.Stdin = &text
	if out, err := importing.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("fill a repository: %w: %s", err, out)
	}
	return g, nil
}

// work has so many processes run at a time until ctx ends, and returns when the last one has gone.
func (g *git) work(ctx context.Context, processes int) error {
	var all sync.WaitGroup
	faults := make(chan error, 1) // the first one says enough
	for range processes {
		all.Go(func() {
			for ctx.Err() == nil {
				if err := g.pack(ctx); err != nil && ctx.Err() == nil {
					select {
					case faults <- err:
					default:
					}
					return
				}
			}
		})
	}
	all.Wait()
	select {
	case err := <-faults:
		return err
	default:
		return nil
	}
}

// pack packs the repository from nothing, and throws the pack away.
func (g *git) pack(ctx context.Context) error {
	packing := exec.CommandContext(ctx, "git", "-C", g.dir, "pack-objects", "--all", "--revs", "--stdout", "--quiet", "--no-reuse-delta", "--threads=1", "--window=100")
	packing.WaitDelay = 10 * time.Second
	var complaint bytes.Buffer
	packing.Stderr = &complaint // its output goes to /dev/null
	if err := packing.Run(); err != nil {
		return fmt.Errorf("pack a repository: %w: %s", err, complaint.String())
	}
	g.runs.Add(1)
	return nil
}
