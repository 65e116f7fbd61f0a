package wire

import (
	"crypto/sha1"
	"encoding/hex"
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

// String returns the checksum in 40 hexadecimal digits.
func (c *Checksum) String() string {
	return hex.EncodeToString(c.sum[:])
}
