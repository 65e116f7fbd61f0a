//go:build !nextlevel

package state

// next is what the build tag nextlevel adds to Level.
const next = 0
