package wire

import (
	"bytes"
	"crypto/sha1"
	"encoding/hex"
	"slices"
)

// Checksum is the checksum of a repository's references: the XOR of the SHA-1
// of each line "<object id> <name>", HEAD among them where it resolves. The
// order of lines does not matter; no lines give 40 zeros.
type Checksum struct {
	sum [sha1.Size]byte
}

// Add takes in one line, as git show-ref prints it, without its end.
func (c *Checksum) Add(line []byte) {
	for i, b := range sha1.Sum(line) {
		c.sum[i] ^= b
	}
}

// Counts tells whether a line is one that Gitaly takes into the checksum: HEAD, and
// references of the usual kinds.
func Counts(line []byte) bool {
	_, name, _ := bytes.Cut(line, []byte(" "))
	return string(name) == "HEAD" || slices.ContainsFunc(counted, func(prefix string) bool { return bytes.HasPrefix(name, []byte(prefix)) })
}

var counted = []string{"refs/heads/", "refs/tags/", "refs/keep-around/", "refs/merge-requests/", "refs/environments/", "refs/notes/"}

// String returns the checksum in 40 hexadecimal digits.
func (c *Checksum) String() string {
	return hex.EncodeToString(c.sum[:])
}
