package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/urfave/cli/v3"

	"praefect/fsm/state"
	"praefect/proxy/admin"
)

func (p *program) snapshotSave() *cli.Command {
	return &cli.Command{
		Name:      "save",
		Usage:     "save the replicated state to a file",
		ArgsUsage: "FILE",
		Description: "The file holds what the instances have agreed on, not the repositories. To go on from it\n" +
			"after all instances are lost: praefect -config FILE raft recover -snapshot FILE.",
		Action: p.action([]string{"FILE"}, func(ctx context.Context, r *run) error { return r.saveSnapshot(ctx, r.args[0]) }),
	}
}

func (p *program) snapshotInspect() *cli.Command {
	return &cli.Command{
		Name:      "inspect",
		Usage:     "show what a saved state holds; asks no instance",
		ArgsUsage: "FILE",
		Action: p.offline([]string{"FILE"}, func(_ context.Context, r *run) error {
			s, err := loadSnapshot(r.args[0])
			if err != nil {
				return err
			}
			answer := describeSnapshot(r.args[0], s)
			return r.answer(answer, func(out *output) { showSnapshot(out, answer) })
		}),
	}
}

// saveSnapshot replaces the file only by a state that was read back whole.
func (r *run) saveSnapshot(ctx context.Context, path string) (err error) {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	led := func(h admin.SnapshotHeader) bool { return h.Leader != "" }
	temp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("write the snapshot: %w", err)
	}
	defer func() {
		if removed := os.Remove(temp.Name()); removed != nil && !errors.Is(removed, os.ErrNotExist) {
			err = errors.Join(err, removed)
		}
	}()
	header, err := askFor(ctx, r.to, led, func(ctx context.Context, _ string, c *admin.Client) (admin.SnapshotHeader, error) {
		if _, err := temp.Seek(0, 0); err != nil {
			return admin.SnapshotHeader{}, err
		}
		if err := temp.Truncate(0); err != nil {
			return admin.SnapshotHeader{}, err
		}
		return c.Snapshot(ctx, temp)
	})
	if err := errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return err
	}
	s, err := loadSnapshot(temp.Name())
	if err != nil {
		return err
	}
	if err := os.Rename(temp.Name(), path); err != nil {
		return fmt.Errorf("write the snapshot: %w", err)
	}
	answer := describeSnapshot(path, s)
	if header.Leader == "" {
		r.aside().printf("praefectctl: %s knows of no leader: others may have agreed on something newer\n", header.Instance)
	}
	return r.answer(answer, func(out *output) {
		out.printf("saved by %s\n", header.Instance)
		showSnapshot(out, answer)
	})
}

// loadSnapshot reads a saved state.
func loadSnapshot(path string) (*state.State, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open the snapshot: %w", err)
	}
	s, err := state.ReadSnapshot(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("the file %q is no whole snapshot: %w", path, err)
	}
	return s, nil
}

// snapshotResponse is the answer of the commands as JSON.
type snapshotResponse struct {
	Schema    int         `json:"schema"`
	File      string      `json:"file"`
	ClusterID string      `json:"cluster_id"`
	Index     state.Index `json:"index"`
	// Instances are the names of the registered instances.
	Instances       []string                 `json:"instances"`
	VirtualStorages []snapshotVirtualStorage `json:"virtual_storages"`
}

type snapshotVirtualStorage struct {
	Name     string            `json:"name"`
	Primary  string            `json:"primary"`
	Epoch    uint64            `json:"epoch"`
	Storages []snapshotStorage `json:"storages"`
	// Listed counts the repositories in the ledger, and InDoubt the ones of them that have a write
	// under way or in doubt.
	Listed  int `json:"listed"`
	InDoubt int `json:"in_doubt"`
}

type snapshotStorage struct {
	Name   string `json:"name"`
	State  string `json:"state"`
	Behind int    `json:"behind"`
}

func describeSnapshot(path string, s *state.State) snapshotResponse {
	answer := snapshotResponse{
		Schema: admin.Schema, File: path, ClusterID: s.ClusterID, Index: s.Index, VirtualStorages: []snapshotVirtualStorage{},
		Instances: each(s.Instances, func(in state.Instance) string { return in.Name }),
	}
	for i := range s.VirtualStorages {
		vs := &s.VirtualStorages[i]
		v := snapshotVirtualStorage{Name: vs.Name, Epoch: vs.Epoch}
		if primary, ok := vs.Primary(nil); ok {
			v.Primary = primary.Name
		}
		for _, st := range vs.Succession {
			v.Storages = append(v.Storages, snapshotStorage{st.Name, string(st.State), s.Behind(vs.Name, st.Name)})
		}
		s.Each(vs.Name, func(_ state.Key, e *state.Entry) bool {
			v.Listed++
			if e.HasLive() || e.HasDoubt() {
				v.InDoubt++
			}
			return true
		})
		answer.VirtualStorages = append(answer.VirtualStorages, v)
	}
	return answer
}

func showSnapshot(out *output, answer snapshotResponse) {
	out.printf("cluster %s  index %d  instances: %d\n", answer.ClusterID, answer.Index, len(answer.Instances))
	for _, v := range answer.VirtualStorages {
		out.printf("\nvirtual storage %s  epoch %d  primary %s  repositories in the ledger: %d, in doubt: %d\n", v.Name, v.Epoch, v.Primary, v.Listed, v.InDoubt)
		out.table([]string{"STORAGE", "STATE", "BEHIND"}, each(v.Storages, func(st snapshotStorage) []string {
			return []string{st.Name, st.State, strconv.Itoa(st.Behind)}
		}))
	}
}
