package workload

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"praefect/test/cluster"
)

// Victim is a kind of write during which, or after which, a process is made to die.
type Victim struct {
	// Kind is its name.
	Kind string
	// Prepare makes the preconditions of the write and returns the write through an instance,
	// which tells the history how it ended.
	Prepare func(ctx context.Context, through *cluster.Instance, of Crowd, path string) (func(context.Context) error, error)
	// Done tells on one storage whether the write had its effect.
	Done func(ctx context.Context, s *cluster.Storage, path string) (bool, error)
}

// Effect is the required end of a write in the end.
type Effect int

// The effects.
const (
	// Everywhere: it was acknowledged, or the primary's answer was good.
	Everywhere Effect = iota
	// WhollyOrNot: on every storage or on none.
	WhollyOrNot
	// Nowhere: on no storage.
	Nowhere
)

// Check looks on each of the storages at the end of the write.
func (v Victim) Check(ctx context.Context, storages []*cluster.Storage, path string, want Effect) error {
	there := 0
	for _, s := range storages {
		done, err := v.Done(ctx, s, path)
		if err != nil {
			return err
		}
		if done {
			there++
		}
	}
	none, all := there == 0 && want != Everywhere, there == len(storages) && want != Nowhere
	if !none && !all {
		return fmt.Errorf("the %s to %q is in effect on %d of %d storages", v.Kind, path, there, len(storages))
	}
	return nil
}

// Crowd is the place of victims, with their history.
type Crowd struct {
	Cluster        *cluster.Cluster
	VirtualStorage string
	History        *History
	// Dir is for the files that they need on the disk of their own.
	Dir string
}

// Victims are a push, a commit, a create and a remove.
func Victims() []Victim {
	return []Victim{
		{"push", preparePush, BranchHas("pushed")},
		{"commit", prepareCommit, BranchHas("committed")},
		{"create", prepareCreate, Exists},
		{"remove", prepareRemove, func(ctx context.Context, s *cluster.Storage, path string) (bool, error) {
			there, err := Exists(ctx, s, path)
			return !there, err
		}},
	}
}

// client is one of an instance.
func (c Crowd) client(through *cluster.Instance) Client {
	return Client{Conn: through.Conn(), VirtualStorage: c.VirtualStorage}
}

func preparePush(ctx context.Context, through *cluster.Instance, of Crowd, path string) (func(context.Context) error, error) {
	if err := of.History.Make(ctx, of.client(through), path); err != nil {
		return nil, err
	}
	url := through.URL(of.VirtualStorage, path)
	w, err := Clone(ctx, of.Cluster, url, filepath.Join(of.Dir, strings.ReplaceAll(path, "/", "-")))
	return func(ctx context.Context) error {
		const subject = "pushed"
		_, err := w.Push(ctx, url, "main", subject)
		of.History.Commit(At(of.VirtualStorage, path), "main", subject, err)
		return err
	}, err
}

func prepareCommit(ctx context.Context, through *cluster.Instance, of Crowd, path string) (func(context.Context) error, error) {
	err := of.History.Make(ctx, of.client(through), path)
	return func(ctx context.Context) error {
		const subject = "committed"
		_, err := of.client(through).Commit(ctx, path, "main", subject)
		of.History.Commit(At(of.VirtualStorage, path), "main", subject, err)
		return err
	}, err
}

func prepareCreate(_ context.Context, through *cluster.Instance, of Crowd, path string) (func(context.Context) error, error) {
	return func(ctx context.Context) error {
		err := of.client(through).Create(ctx, path)
		of.History.Existence(At(of.VirtualStorage, path), true, err)
		return err
	}, nil
}

func prepareRemove(ctx context.Context, through *cluster.Instance, of Crowd, path string) (func(context.Context) error, error) {
	err := of.History.Make(ctx, of.client(through), path)
	return func(ctx context.Context) error {
		err := of.client(through).Remove(ctx, path)
		of.History.Existence(At(of.VirtualStorage, path), false, err)
		return err
	}, err
}
