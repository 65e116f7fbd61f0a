package method

import (
	"errors"
	"fmt"
	"path"
	"strings"
)

// MaxRelativePath bounds the length of a relative path in bytes: no storage could open a longer one.
const MaxRelativePath = 4096

// The parts that may be missing from a request, in the words that clients know.
var (
	// ErrRepositoryNotSet means that the request names no repository.
	ErrRepositoryNotSet = errors.New("repository not set")
	// ErrStorageNotSet means that a repository is named without its virtual storage.
	ErrStorageNotSet = errors.New("storage name not set")
	// ErrPathNotSet means that a repository is named without its relative path.
	ErrPathNotSet = errors.New("repository path not set")
)

// Repository is a repository as a request names it.
type Repository struct {
	// StorageName is the name of a virtual storage in a client's message, and of a storage in a
	// message to a storage.
	StorageName string
	// RelativePath is the path below the storage's root.
	RelativePath string
}

// Validate reports why no repository can have this name: parts of it are not set, the path is not a clean path that stays
// below the storage's root, or the path is reserved. Every such error is the client's. Two paths that pass are the same
// repository only if they are equal, which locks and ledger rely on.
func (r Repository) Validate() error {
	switch {
	case r == Repository{}:
		return ErrRepositoryNotSet
	case r.StorageName == "":
		return ErrStorageNotSet
	case r.RelativePath == "":
		return ErrPathNotSet
	}

	p := r.RelativePath
	if len(p) > MaxRelativePath {
		return fmt.Errorf("relative path is %d bytes long, the limit is %d", len(p), MaxRelativePath)
	}
	switch {
	case strings.ContainsRune(p, 0):
		return fmt.Errorf("relative path %q contains a NUL byte", p)
	case strings.HasPrefix(p, "/"):
		return fmt.Errorf("relative path %q is absolute", p)
	case p == ".." || strings.HasPrefix(p, "../") || strings.Contains(p, "/../") || strings.HasSuffix(p, "/.."):
		return fmt.Errorf("relative path %q escapes the storage", p)
	case p == "." || path.Clean(p) != p:
		return fmt.Errorf("relative path %q is not clean", p)
	}
	return reserved(p)
}
