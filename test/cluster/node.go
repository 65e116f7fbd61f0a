package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Node is one Gitaly with two storages and nothing in front of it, for suites on
// a storage alone.
type Node struct {
	*Storage                 // its first one
	Other, OtherDir string   // the name and the disk of the second
	cluster         *Cluster // of which there is nothing else
}

// StartNode starts one with storages of these names, and returns when it serves. Its
// files are in dir, and stay. A process that was started is stopped when it fails.
func StartNode(ctx context.Context, programs Binaries, gitaly *Gitaly, dir, name, other string) (*Node, error) {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	options := Options{Binaries: programs, Gitaly: gitaly}
	options.applyDefaults()
	c := &Cluster{Binaries: programs, Dir: dir, options: options, ports: ports{given: make(map[string]bool)}}
	n := &Node{Other: other, OtherDir: filepath.Join(dir, "other"), cluster: c}
	if err := n.start(ctx, name); err != nil {
		return nil, errors.Join(fmt.Errorf("start a node: %w", err), n.Stop(context.WithoutCancel(ctx)))
	}
	return n, nil
}

func (n *Node) start(ctx context.Context, name string) (err error) {
	c := n.cluster
	if err := os.MkdirAll(n.OtherDir, 0o755); err != nil {
		return fmt.Errorf("make the disk of storage %q: %w", n.Other, err)
	}
	if n.Storage, err = c.newStorage(ctx, "alone", name); err != nil {
		return err
	}
	c.Storages = []*Storage{n.Storage}
	n.more = []table{{"name": n.Other, "path": n.OtherDir}}
	if err := c.startGitlab(ctx); err != nil {
		return err
	}
	if err := n.launch(ctx, c); err != nil {
		return err
	}
	return c.options.Gitaly.explain(n.Storage, serving(ctx, n.WaitReady, func() error { return n.launch(ctx, c) }))
}

// Stop ends the node, and returns when it is gone.
func (n *Node) Stop(ctx context.Context) error { return n.cluster.Stop(ctx) }
