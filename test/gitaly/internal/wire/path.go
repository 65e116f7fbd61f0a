package wire

import (
	"path/filepath"
	"strings"
)

// DataPrefix is the directory of a storage that is Gitaly's own, not a place
// for repositories.
const DataPrefix = "+gitaly"

// CleanPath returns the relative path in its shortest form, or the status of
// one that leads out of the storage, names the storage itself or lies in
// Gitaly's own directory.
func CleanPath(relative string) (string, error) {
	clean := filepath.Clean(strings.TrimLeft(relative, "/"))
	if !filepath.IsLocal(clean) || clean == "." {
		return "", EscapingPath()
	}
	if first, _, _ := strings.Cut(clean, "/"); first == DataPrefix {
		return "", InvalidArgument("relative path is reserved: %q", relative)
	}
	if strings.ContainsRune(clean, 0) {
		return "", InvalidArgument("relative path holds a NUL: %q", relative)
	}
	return clean, nil
}
