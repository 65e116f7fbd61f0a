package settings

import (
	"fmt"
	"slices"
	"strings"

	"praefect/fsm/state"
)

// Agreed returns the storages of a virtual storage that every report lists alike, at the same places,
// in the order of the first report. Without a report, or while the reports differ about the virtual
// storage, nothing is agreed (▲ TestAgreed).
func Agreed(reports []Report, virtualStorage string) (storages []string, ok bool) {
	if len(reports) == 0 {
		return nil, false
	}
	first := reports[0].VirtualStorage(virtualStorage)
	if first == nil {
		return nil, false
	}
	for _, r := range reports[1:] {
		other := r.VirtualStorage(virtualStorage)
		if other == nil || len(other.Storages) != len(first.Storages) {
			return nil, false
		}
		for _, s := range first.Storages {
			if o := other.Storage(s.Name); o == nil || !o.SamePlace(s) {
				return nil, false
			}
		}
	}
	for _, s := range first.Storages {
		storages = append(storages, s.Name)
	}
	return storages, true
}

// Names are the virtual storages that any of the reports lists, sorted.
func Names(reports []Report) []string {
	var names []string
	for _, r := range reports {
		for _, vs := range r.VirtualStorages {
			names = append(names, vs.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Stray is the notice about one storage, or of a virtual storage if Storage is empty.
type Stray struct{ VirtualStorage, Storage, Text string }

// Strays says of each storage in which the reports and the agreed state differ: one that the cluster
// has and a file lacks, one that only some files have, and one that is at different places.
func Strays(view *state.State, reports []Report) []Stray {
	var all []Stray
	for _, name := range known(view, reports) {
		agreed := view.VirtualStorage(name)
		with, without := holders(reports, func(r Report) (int, bool) {
			vs := r.VirtualStorage(name)
			if vs == nil {
				return 0, false
			}
			return vs.Line, true
		}, "virtual_storage")
		say := func(format string, args ...any) {
			all = append(all, Stray{VirtualStorage: name, Text: fmt.Sprintf(format, args...)})
		}
		switch {
		case len(with) == 0:
			say("virtual storage %q is in the cluster and in no instance's settings: write it into every file, or remove it: praefectctl virtual-storage remove %s", name, name)
			continue
		case len(without) > 0 && agreed != nil:
			say("virtual storage %q is not in the settings of %s: requests for it fail there; add it there (virtual_storage), or take it out of every file and run: praefectctl virtual-storage remove %s", name, strings.Join(without, ", "), name)
		case len(without) > 0:
			say("virtual storage %q is in the settings of %s and not in those of %s: it is defined when every instance has it", name, strings.Join(with, ", "), strings.Join(without, ", "))
		}
		all = append(all, strayStorages(name, agreed, reports)...)
	}
	return all
}

// known are the virtual storages of the state and of the reports, sorted.
func known(view *state.State, reports []Report) []string {
	names := Names(reports)
	for i := range view.VirtualStorages {
		names = append(names, view.VirtualStorages[i].Name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// holders splits the instances by whether they have something, with its place.
func holders(reports []Report, find func(Report) (line int, has bool), key string) (with, without []string) {
	for _, r := range reports {
		if line, has := find(r); has {
			with = append(with, place(r.Instance, line, key))
		} else {
			without = append(without, fmt.Sprintf("%q", r.Instance))
		}
	}
	return with, without
}

// strayStorages is Strays for one virtual storage, of the files that have it.
func strayStorages(name string, agreed *state.VirtualStorage, reports []Report) []Stray {
	var listing []Report
	var storages []string
	var all []Stray
	for _, r := range reports {
		vs := r.VirtualStorage(name)
		if vs == nil {
			continue
		}
		listing = append(listing, r)
		for _, s := range vs.Storages {
			storages = append(storages, s.Name)
		}
	}
	if agreed != nil {
		for _, s := range agreed.Succession {
			storages = append(storages, s.Name)
		}
	}
	slices.Sort(storages)
	for _, s := range slices.Compact(storages) {
		with, _ := holders(listing, func(r Report) (int, bool) {
			if found := r.VirtualStorage(name).Storage(s); found != nil {
				return found.Line, true
			}
			return 0, false
		}, "virtual_storage.node")
		var lacking []string
		for _, r := range listing {
			if vs := r.VirtualStorage(name); vs.Storage(s) == nil {
				lacking = append(lacking, place(r.Instance, vs.Line, "virtual_storage.node"))
			}
		}
		member := agreed != nil && agreed.Storage(s) != nil
		var texts []string
		switch {
		case member && len(with) == 0:
			texts = append(texts, fmt.Sprintf("storage %q of %q is in the cluster and in no instance's settings: write it into every file, or remove it: praefectctl storage remove %s -virtual-storage %s", s, name, s, name))
		case member && len(lacking) > 0:
			texts = append(texts, fmt.Sprintf("storage %q of %q is not in the settings of %s: that instance cannot use it; add it there, or take it out of every file and run: praefectctl storage remove %s -virtual-storage %s",
				s, name, strings.Join(lacking, ", "), s, name))
		case len(lacking) > 0:
			texts = append(texts, fmt.Sprintf("storage %q of %q is in the settings of %s and not in those of %s: it is added when every instance has it", s, name, strings.Join(with, ", "), strings.Join(lacking, ", ")))
		}
		if texts = append(texts, places(name, s, listing)...); len(texts) > 0 {
			all = append(all, Stray{VirtualStorage: name, Storage: s, Text: strings.Join(texts, "; ")})
		}
	}
	return all
}

// places tells of a storage that two files put at different places.
func places(virtualStorage, storage string, reports []Report) []string {
	var first *Storage
	var of string
	for _, r := range reports {
		s := r.VirtualStorage(virtualStorage).Storage(storage)
		switch {
		case s == nil:
		case first == nil:
			first, of = s, r.Instance
		case !s.SamePlace(*first):
			return []string{fmt.Sprintf("the settings differ: storage %q of %q is at %s for %s, and at %s for %s", storage, virtualStorage,
				first.Address, place(of, first.Line, "virtual_storage.node.address"), s.Address, place(r.Instance, s.Line, "virtual_storage.node.address"))}
		}
	}
	return nil
}

// Listed says which instances' files still list a storage, or with an empty storage the virtual
// storage, "" if none does.
func Listed(reports []Report, virtualStorage, storage string) string {
	with, _ := holders(reports, func(r Report) (int, bool) {
		vs := r.VirtualStorage(virtualStorage)
		if vs == nil {
			return 0, false
		}
		if storage == "" {
			return vs.Line, true
		}
		if s := vs.Storage(storage); s != nil {
			return s.Line, true
		}
		return 0, false
	}, "virtual_storage")
	return strings.Join(with, ", ")
}
