package state

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// badName describes the fault of a name or path, "" if it has none. The log is
// JSON, which would merge names that are not UTF-8; the ledger's keys end a
// name with NUL.
func badName(what, name string) string {
	switch {
	case name == "":
		return what + " is empty"
	case strings.ContainsRune(name, 0):
		return fmt.Sprintf("%s %q contains NUL", what, name)
	case !utf8.ValidString(name):
		return fmt.Sprintf("%s %q is not UTF-8", what, name)
	}
	return ""
}

// badText describes the fault of texts for people.
func badText(what string, texts ...string) string {
	for _, text := range texts {
		if !utf8.ValidString(text) {
			return fmt.Sprintf("%s is not UTF-8: %q", what, text)
		}
	}
	return ""
}

// badNames describes the fault of a list of names; duplicates are wrong. The
// lists are as long as a virtual storage has storages, or an RPC repositories.
func badNames(what string, names []string) string {
	for i, name := range names {
		if why := badName(what, name); why != "" {
			return why
		}
		if slices.Contains(names[:i], name) {
			return fmt.Sprintf("%s %q is named twice", what, name)
		}
	}
	return ""
}

// badPaths describes the fault of the repositories that a command names.
func badPaths(vs string, paths []string) string {
	if len(paths) == 0 {
		return "no relative path"
	}
	return firstOf(badName("virtual storage", vs), badNames("relative path", paths))
}

// bad describes the fault of the key.
func (k Key) bad() string {
	return firstOf(badName("virtual storage", k.VirtualStorage), badName("relative path", k.RelativePath))
}

// firstOf returns the first complaint.
func firstOf(complaints ...string) string {
	for _, c := range complaints {
		if c != "" {
			return c
		}
	}
	return ""
}

// union returns the sorted union of two sets, nil if it is empty. Neither is
// changed, and they need not be sorted.
func union(a, b []string) []string {
	u := slices.Concat(a, b)
	slices.Sort(u)
	return slices.Compact(u)
}

// without returns the set without the names.
func without(set, names []string) []string {
	var rest []string
	for _, s := range set {
		if !slices.Contains(names, s) {
			rest = append(rest, s)
		}
	}
	return rest
}
