// Package seen owns the record of observations on nodes of real Gitaly releases: of each method the
// phases of its votes, and the state of a cluster's replicas when the call was answered. It promises
// that a recording replaces the observations of its own release alone. The suites of test/realgitaly
// write the record, and test/rules copies it into docs/compatibility.md.
package seen

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// Record has the observations by the version of Gitaly.
type Record map[string]Release

// Release has the observations of one version.
type Release struct {
	// Git is the version of git that its nodes ran.
	Git string `json:"git"`
	// Methods are by their full name without the package, "Service/Method".
	Methods map[string]Method `json:"methods"`
}

// Method has the observations of one method.
type Method struct {
	// Votes are the phases of the votes of one node, in their order, "none" if it cast none;
	// empty if that was not looked at.
	Votes string `json:"votes,omitempty"`
	// Replicas tells the state of the replicas in a cluster of such nodes when the call was answered: "equal" on
	// all, or "repaired" if storages were behind and had the same content soon; empty if the
	// method was not called through a cluster.
	Replicas string `json:"replicas,omitempty"`
}

// mu keeps two tests of one process from writing at once.
var mu sync.Mutex

// Read reads a record; a file that is absent has none.
func Read(file string) (Record, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return Record{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read what was seen: %w", err)
	}
	record := Record{}
	if err := json.Unmarshal(text, &record); err != nil {
		return nil, fmt.Errorf("read what was seen in %s: %w", file, err)
	}
	return record, nil
}

// Note changes the record of one release in a file: change gets the record of each of
// the methods, and returns the new one.
func Note(file, version, git string, methods []string, change func(name string, m Method) Method) error {
	mu.Lock()
	defer mu.Unlock()
	record, err := Read(file)
	if err != nil {
		return err
	}
	release := record[version]
	if release.Methods == nil {
		release.Methods = make(map[string]Method)
	}
	release.Git = git
	for _, name := range methods {
		release.Methods[name] = change(name, release.Methods[name])
	}
	record[version] = release
	text, err := json.MarshalIndent(record, "", " ")
	if err != nil {
		return fmt.Errorf("encode what was seen: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return fmt.Errorf("write what was seen: %w", err)
	}
	if err := os.WriteFile(file, append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("write what was seen: %w", err)
	}
	return nil
}

// Of describes the observations of a method on all releases, for people; empty if there are none.
func (r Record) Of(method string) string {
	var parts []string
	for _, version := range slices.Sorted(maps.Keys(r)) {
		m, known := r[version].Methods[method]
		if !known {
			continue
		}
		text := version
		if m.Votes != "" {
			text += ": votes " + m.Votes
		}
		if m.Replicas != "" {
			text += ": replicas " + m.Replicas
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, "; ")
}

// Methods are all methods that the record names.
func (r Record) Methods() []string {
	names := make(map[string]bool)
	for _, release := range r {
		for name := range release.Methods {
			names[name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}
