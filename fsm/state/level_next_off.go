//go:build !nextlevel

package state

// next is the addition of the build tag nextlevel to Level.
const next = 0
