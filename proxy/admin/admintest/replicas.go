package admintest

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"

	"praefect/fsm/state"
	"praefect/proxy/admin"
)

// SetReferences gives a storage a replica of a repository with these references.
func (c *Cluster) SetReferences(path, storage string, references map[string]string) {
	c.locked(func() { c.replicas[replica{keyOf(path), storage}] = references })
}

// replica is that of a repository on a storage.
type replica struct {
	key     state.Key
	storage string
}

// SetPaths makes the catalogue list repositories.
func (c *Cluster) SetPaths(paths ...string) {
	c.locked(func() { c.paths = slices.Sorted(slices.Values(paths)) })
}

// SetMetrics makes the instance measure something.
func (c *Cluster) SetMetrics(families ...*dto.MetricFamily) {
	c.locked(func() { c.figures = families })
}

// SetDebug makes the instance tell files of itself.
func (c *Cluster) SetDebug(files map[string]string) {
	c.locked(func() { c.files = files })
}

// Diff implements admin.Replicas.
func (c *Cluster) Diff(_ context.Context, key state.Key, here, there string, each func(state.DifferingReference) bool) (hereHas, thereHas bool, err error) {
	for _, storage := range []string{here, there} {
		if reach := c.Observation(key.VirtualStorage, storage); !reach.Reachable {
			return false, false, errors.Join(errors.New(storage), reach.Err)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.diff(key, here, there, each)
}

// diff needs mu.
func (c *Cluster) diff(key state.Key, here, there string, each func(state.DifferingReference) bool) (hereHas, thereHas bool, err error) {
	ours, hereHas := c.replicas[replica{key, here}]
	theirs, thereHas := c.replicas[replica{key, there}]
	both := map[string]string{}
	maps.Copy(both, ours)
	maps.Copy(both, theirs)
	for _, name := range slices.Sorted(maps.Keys(both)) {
		if ours[name] != theirs[name] && !each(state.DifferingReference{Name: name, Here: ours[name], There: theirs[name]}) {
			break
		}
	}
	return hereHas, thereHas, nil
}

// givenUp is the part of the record of an accepted loss about the other storages. It needs mu.
func (c *Cluster) givenUp(key state.Key, chosen string) (givenUp []state.Conflict, notCompared []string) {
	for _, st := range c.state.VirtualStorage(key.VirtualStorage).Succession {
		if st.Name == chosen {
			continue
		}
		if reach, changed := c.reach[st.Name]; changed && !reach.Reachable {
			notCompared = append(notCompared, st.Name)
			continue
		}
		conflict := state.Conflict{Storage: st.Name, Primary: chosen, Time: c.now().UnixMilli()}
		hereHas, thereHas, _ := c.diff(key, chosen, st.Name, func(d state.DifferingReference) bool { // it never fails
			conflict.Differing++
			if len(conflict.Sample) < state.ConflictSample {
				conflict.Sample = append(conflict.Sample, d)
			}
			return true
		})
		conflict.Here.Absent, conflict.There.Absent = !hereHas, !thereHas
		if hereHas != thereHas || conflict.Differing > 0 {
			givenUp = append(givenUp, conflict)
		}
	}
	return givenUp, notCompared
}

// Paths implements admin.Catalogue.
func (c *Cluster) Paths(_ context.Context, _, prefix, after string, limit int) ([]string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.jobsErr != nil {
		return nil, c.jobsErr
	}
	var found []string
	for _, path := range c.paths {
		if path > after && strings.HasPrefix(path, prefix) && len(found) < limit {
			found = append(found, path)
		}
	}
	return found, nil
}

func (c *Cluster) metrics() ([]*dto.MetricFamily, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.figures, nil
}

func (c *Cluster) debug() (files []admin.DebugFile) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(c.files)) {
		content := c.files[name]
		files = append(files, admin.DebugFile{Name: name, Write: func(w io.Writer) error {
			_, err := io.WriteString(w, content)
			return err
		}})
	}
	return files
}
