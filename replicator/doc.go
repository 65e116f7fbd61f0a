// Package replicator owns the repair of replicas.
package replicator
