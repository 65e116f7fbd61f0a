//go:build nextlevel

package state

// next makes this build one of the release after this one: it knows one level more, which
// nothing needs. test/upgrade shows with it the behaviour of a cluster when its level rises.
const next = 1
