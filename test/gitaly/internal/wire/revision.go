package wire

import "strings"

// CheckRevision refuses a text that git would not take for the name of an object or
// reference, or would take for an option.
func CheckRevision(revision string) error {
	switch {
	case revision == "":
		return InvalidArgument("empty revision")
	case strings.HasPrefix(revision, "-"):
		return InvalidArgument("revision can't start with '-'")
	case strings.ContainsAny(revision, " \t\n\r"):
		return InvalidArgument("revision can't contain whitespace")
	case strings.ContainsAny(revision, ":\\\x00"):
		return InvalidArgument("revision can't contain ':', '\\' or NUL")
	}
	return nil
}
