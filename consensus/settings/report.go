// Package settings owns the report in which an instance tells the leader its settings, and the
// comparison of such reports. It promises that every comparison is a pure function of reports, and
// that no report holds a secret. The daemon makes a report of its settings, package session carries
// it to the leader, and package elector decides by it.
package settings

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
)

// Report describes the settings of one instance.
type Report struct {
	// Instance is the instance's name.
	Instance string `json:"instance"`
	// Digest is the same for reports that say the same.
	Digest          string           `json:"digest"`
	VirtualStorages []VirtualStorage `json:"virtual_storages"`
	// Values are the settings that must agree beside the storages.
	Values []Value `json:"values,omitempty"`
}

// VirtualStorage is one virtual storage of a report.
type VirtualStorage struct {
	Name string `json:"name"`
	// Line is where the file names it, 0 if that is not known.
	Line     int       `json:"line,omitempty"`
	Storages []Storage `json:"storages"`
}

// Storage is one storage of a report.
type Storage struct {
	Name string `json:"name"`
	// Address is as the file has it, Resolved the places that its host stands for.
	Address  string   `json:"address,omitempty"`
	Resolved []string `json:"resolved,omitempty"`
	// Line is where the file names it, 0 if that is not known.
	Line int `json:"line,omitempty"`
}

// Value is one setting that must agree.
type Value struct {
	// Key is its key in the file.
	Key string `json:"key"`
	// Value is its value, or a hash of it if Hashed.
	Value  string `json:"value"`
	Hashed bool   `json:"hashed,omitempty"`
}

// Seal returns the report with its digest.
func (r Report) Seal() Report {
	r.Digest = ""
	text, err := json.Marshal(r)
	if err != nil {
		text = fmt.Appendf(nil, "%+v", r) // no field of ours can fail to encode
	}
	sum := sha256.Sum256(text)
	r.Digest = hex.EncodeToString(sum[:8])
	return r
}

// VirtualStorage returns the virtual storage of that name, nil if the report has none.
func (r Report) VirtualStorage(name string) *VirtualStorage {
	for i := range r.VirtualStorages {
		if r.VirtualStorages[i].Name == name {
			return &r.VirtualStorages[i]
		}
	}
	return nil
}

// Storage returns the storage of that name, nil if there is none. A nil virtual storage has none.
func (v *VirtualStorage) Storage(name string) *Storage {
	if v == nil {
		return nil
	}
	for i := range v.Storages {
		if v.Storages[i].Name == name {
			return &v.Storages[i]
		}
	}
	return nil
}

// SamePlace tells whether two addresses of a storage lead to one place: they are equal, or their
// hosts stand for a common one.
func (s Storage) SamePlace(other Storage) bool {
	return s.Address == other.Address ||
		slices.ContainsFunc(s.Resolved, func(place string) bool { return slices.Contains(other.Resolved, place) })
}

// place says where a file of an instance has something.
func place(instance string, line int, key string) string {
	if line == 0 {
		return fmt.Sprintf("%q (%s)", instance, key)
	}
	return fmt.Sprintf("%q (%s, line %d of its file)", instance, key, line)
}
