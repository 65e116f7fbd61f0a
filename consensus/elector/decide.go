package elector

import (
	"fmt"
	"slices"

	"praefect/fsm/state"
)

// Configured is one virtual storage as the operator wrote it, its storages in
// the order of the first succession.
type Configured struct {
	VirtualStorage string
	Storages       []string
}

// Seen is a storage that was reached, and the id of the disk behind it.
type Seen struct {
	VirtualStorage string
	Storage        string
	FilesystemID   string
}

// decision is what to propose, and what only a person can resolve.
type decision struct {
	commands []state.Command
	alarms   []string
}

// decide compares the agreed state with what is configured and what was seen.
func decide(view *state.State, configured []Configured, seen []Seen) decision {
	var d decision
	for _, c := range configured {
		vs := view.VirtualStorage(c.VirtualStorage)
		if vs == nil || !sameStorages(vs, c.Storages) {
			d.commands = append(d.commands, state.Command{Define: &state.Define{VirtualStorage: c.VirtualStorage, Storages: c.Storages}})
		}
	}
	for _, s := range seen {
		vs := view.VirtualStorage(s.VirtualStorage)
		if vs == nil {
			continue // defined first
		}
		agreed := vs.Storage(s.Storage)
		if agreed == nil || agreed.FilesystemID == s.FilesystemID {
			continue
		}
		if primary, _ := vs.Primary(nil); agreed.FilesystemID != "" && primary.Name == s.Storage {
			d.alarms = append(d.alarms, fmt.Sprintf(
				"primary %q of %q has another disk (%s, was %s) and is not used; bring the former disk back",
				s.Storage, s.VirtualStorage, s.FilesystemID, agreed.FilesystemID))
			continue
		}
		d.commands = append(d.commands, state.Command{Return: &state.Return{
			VirtualStorage: s.VirtualStorage, Storage: s.Storage, FilesystemID: s.FilesystemID,
		}})
	}
	return d
}

// sameStorages compares as sets: another order in the file is no command, it is
// drift that people are told of.
func sameStorages(vs *state.VirtualStorage, names []string) bool {
	if len(vs.Succession) != len(names) {
		return false
	}
	for i := range vs.Succession {
		if !slices.Contains(names, vs.Succession[i].Name) {
			return false
		}
	}
	return true
}
