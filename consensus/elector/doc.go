// Package elector proposes the changes of standing that the agreed state needs
// because of what this instance sees: the storages that the operator
// configured, and the disks behind those that were reached. It promises to
// propose nothing that the replicated state would have to refuse for reasons
// that this instance could have seen; the replicated state decides. The daemon
// runs one.
package elector
