// Package netns owns networks of namespaces on this machine, joined by a bridge: each process of a
// test gets a host of its own, and the ways between hosts can be cut, made lossy, reset and
// delayed, one direction at a time. It owns disks, too, that can be full or hang. It promises that
// Heal ends every fault, that Close leaves nothing, and that making a network removes the leftovers
// of a process that was killed with one. Tests and the benchmark of failovers may use it, as root;
// nothing of the product may.
package netns
