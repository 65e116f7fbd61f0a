//go:build race

package socket

// plain leaves connections as they are: the race detector knows that a read from a socket of package
// net comes after the writes before it.
const plain = true
