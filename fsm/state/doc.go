// Package state owns the replicated state and the rules by which commands
// change it.
//
// It promises to be pure: no clock, randomness, I/O, logging or map order, so
// that the same log gives the same State on every instance.
//
// Anybody may read a State; only package fsm applies commands to one.
package state
