package method

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
)

// Directory is the effect of a repository-scoped mutator on the directory of its target. A storage
// makes, replaces or removes any directory that it is told to, also one that holds repositories.
type Directory uint8

const (
	// DirectoryKept is the effect of everything that only works inside an existing repository.
	DirectoryKept Directory = iota
	// DirectoryMade is the effect of methods that fail if anything is at the path.
	DirectoryMade
	// DirectoryReplaced is the effect of methods that make the directory, and first remove one that is no repository.
	DirectoryReplaced
	// DirectoryRemoved is the effect of methods that remove everything at the path.
	DirectoryRemoved
)

// String returns the effect in lower case, as it appears in errors of tests.
func (d Directory) String() string {
	return nameOf("directory", d, []string{DirectoryKept: "kept", DirectoryMade: "made", DirectoryReplaced: "replaced", DirectoryRemoved: "removed"})
}

// change is the effect on the existence of the repository.
func (d Directory) change() Change {
	switch d {
	case DirectoryMade, DirectoryReplaced:
		return ChangeCreate
	case DirectoryRemoved:
		return ChangeDelete
	}
	return ChangeUpdate
}

// reservedNames are the names below a storage's root that the storage uses itself: its own directory, and the file that holds
// the id of its file system.
var reservedNames = map[string]bool{"+gitaly": true, ".gitaly-metadata": true}

// layoutDepth is how many directories stand above the repositories of GitLab's layouts at most, as in
// "@hashed/6b/86/<name>.git".
const layoutDepth = 3

// reserved refuses a clean path that can be no repository's, regardless of the disk's content: of
// the storage itself, inside a repository, or above the repositories of GitLab's layouts, whose
// first directory begins with "@".
func reserved(path string) error {
	first, _, _ := strings.Cut(path, "/")
	if reservedNames[first] {
		return fmt.Errorf("relative path %q is reserved: the storage keeps its own files there", path)
	}
	if at := strings.Index(path, ".git/"); at >= 0 {
		return fmt.Errorf("relative path %q is inside the repository %q", path, path[:at+len(".git")])
	}
	if strings.HasPrefix(first, "@") && strings.Count(path, "/") < layoutDepth && !strings.HasSuffix(path, ".git") {
		return fmt.Errorf("relative path %q is a directory that holds repositories, not a repository", path)
	}
	return nil
}

// maxDepth bounds the directories of a new path. GitLab nests groups 20 deep.
const maxDepth = 32

// ValidateNew reports why no new repository can be made at a path that [Repository.Validate] passes. Repositories that exist
// under such paths are served.
func ValidateNew(path string) error {
	if strings.ContainsFunc(path, unicode.IsControl) {
		return fmt.Errorf("relative path %q contains a control character", path)
	}
	if strings.Count(path, "/") >= maxDepth {
		return fmt.Errorf("relative path is %d directories deep, the limit is %d", strings.Count(path, "/")+1, maxDepth)
	}
	return nil
}

// layout matches the paths of GitLab's layouts.
var layout = regexp.MustCompile(`^@[a-z]+/[0-9a-f]{2}/[0-9a-f]{2}/[^/]+$`)

// Above returns the directories above a path that may be repositories, the outermost first. In GitLab's layouts none is,
// because [Repository.Validate] refuses each of them.
func Above(path string) []string {
	if layout.MatchString(path) {
		return nil
	}
	var above []string
	for at, r := range path {
		if r == '/' {
			above = append(above, path[:at])
		}
	}
	return above
}
