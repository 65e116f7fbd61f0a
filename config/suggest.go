package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// suggest names the known key of the same table that an unknown one was
// probably meant to be.
func (b *binder) suggest(table, key string, fields map[string]reflect.Value) string {
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
	best, bestDistance := "", 3
	for _, name := range known {
		if d := distance(strings.ToLower(key), name); d < bestDistance {
			best, bestDistance = name, d
		}
	}
	if best == "" {
		return ": remove it or check its spelling"
	}
	return fmt.Sprintf(": did you mean %q?", best)
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
