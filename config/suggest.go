package config

import (
	"reflect"
	"slices"
	"strings"
)

// ownTables are the tables that upstream does not have.
var ownTables = []string{"consistency", "detection", "raft", "raft.peer", "admin", "console"}

// unknown notes a key without a meaning. table is the dotted key of its table,
// ending in a dot unless that is the root.
func (b *binder) unknown(path []string, table, key string, fields map[string]reflect.Value) {
	meant := b.meant(table, key, fields)
	switch {
	case meant != "":
		b.found.add(path, "unknown key: did you mean %q?", meant)
	case strings.TrimSpace(key) == "" || slices.Contains(ownTables, strings.TrimSuffix(table, ".")):
		b.found.add(path, "unknown key: remove it or check its spelling")
	default:
		b.warnings = append(b.warnings, Warning{
			Key: table + key, Line: b.found.doc.position(path).line, Unknown: true,
			Text: "this version does not know the key: it has no effect; if it is not one of a newer Praefect, check its spelling",
		})
	}
}

// meant returns the known key of the same table that an unknown one was
// probably meant to be, or nothing.
func (b *binder) meant(table, key string, fields map[string]reflect.Value) string {
	var known []string
	for name := range fields {
		known = append(known, name)
	}
	for dotted := range b.unused {
		if name, ok := strings.CutPrefix(dotted, table); ok && !strings.Contains(name, ".") {
			known = append(known, name)
		}
	}
	slices.Sort(known)
	// Of a short key, few letters differ from any other.
	best, bestDistance := "", min(3, len(key)/2)
	for _, name := range known {
		if d := distance(strings.ToLower(key), name); d < bestDistance {
			best, bestDistance = name, d
		}
	}
	return best
}

// distance counts the letters to add, remove or change between two keys. Keys
// of very different lengths are not compared: a long text is no misspelling.
func distance(a, b string) int {
	if len(a) > len(b)+2 || len(b) > len(a)+2 {
		return len(a) + len(b)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
