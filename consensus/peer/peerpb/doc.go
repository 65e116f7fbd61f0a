// Package peerpb holds the messages of praefect.peer.v1.PeerService, as the .proto files beside it
// describe them. make generate writes the Go files; nothing else changes them. Package peer reads
// and writes the messages by their descriptors.
package peerpb
