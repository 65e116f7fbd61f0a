package plan

import "strings"

// RefConflicts are the references of the target that cannot exist beside those of the
// source, as one would be a directory of the other: those that the source lacks.
func RefConflicts(source, target []string) []string {
	has := make(map[string]bool, len(source))
	dirs := make(map[string]bool) // that the source's references need
	for _, name := range source {
		has[name] = true
		for dir := range above(name) {
			dirs[dir] = true
		}
	}
	var found []string
	for _, name := range target {
		switch {
		case has[name]:
		case dirs[name]:
			found = append(found, name)
		default:
			for dir := range above(name) {
				if has[dir] {
					found = append(found, name)
					break
				}
			}
		}
	}
	return found
}

// above yields the directories that a name is in, the nearest first.
func above(name string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for {
			slash := strings.LastIndexByte(name, '/')
			if slash < 0 {
				return
			}
			if name = name[:slash]; !yield(name) {
				return
			}
		}
	}
}
