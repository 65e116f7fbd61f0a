package scenario

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"praefect/test/cluster"
	"praefect/test/workload"
)

// Ground has what the clusters of a program begin with. Make one with Prepare; its owner calls Close.
type Ground struct {
	Binaries cluster.Binaries
	// Seeds are the repositories that the storages begin with.
	Seeds *workload.Seeds
	// Dir is for files of the program; Close removes it.
	Dir string
}

// Prepare finds the programs in a directory, and makes so many repositories.
func Prepare(ctx context.Context, build string, repositories int) (*Ground, error) {
	binaries, err := cluster.BinariesIn(build)
	if err != nil {
		return nil, fmt.Errorf("%w (make build makes them)", err)
	}
	dir, err := os.MkdirTemp("", "scenario-")
	if err != nil {
		return nil, fmt.Errorf("make a directory: %w", err)
	}
	g := &Ground{Binaries: binaries, Dir: dir}
	if g.Seeds, err = workload.NewSeeds(ctx, dir, repositories); err != nil {
		g.Close()
		return nil, err
	}
	return g, nil
}

// Close removes the files.
func (g *Ground) Close() { _ = os.RemoveAll(g.Dir) } // a rest of it disturbs nothing

// With starts a cluster, hands it to use, and stops it. If use fails, the file logs gets the ends of
// the logs of all processes.
func With(ctx context.Context, options cluster.Options, logs string, use func(*cluster.Cluster) error) (err error) {
	c, err := cluster.Start(ctx, options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Stop(context.WithoutCancel(ctx))) }()
	err = use(c)
	if err == nil || ctx.Err() != nil { // interrupted: the logs tell nothing about it
		return err
	}
	file, failed := os.Create(logs)
	if failed != nil {
		return errors.Join(err, fmt.Errorf("keep the logs: %w", failed))
	}
	c.Diagnose(file)
	return errors.Join(err, fmt.Errorf("the ends of the logs are in %s", logs), file.Close())
}

// WriteJSON puts a document where readers never see half of it.
func WriteJSON(path string, document any, mode fs.FileMode) error {
	text, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", path, err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("make a directory for %s: %w", path, err)
	}
	draft := path + ".new"
	if err := os.WriteFile(draft, append(text, '\n'), mode); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(draft, path); err != nil {
		return fmt.Errorf("publish %s: %w", path, err)
	}
	return nil
}
