// Package adminpb holds the messages of praefect.admin.v1.AdminService, as the .proto files beside
// it describe them. make generate writes the Go files; nothing else changes them. Package admin
// reads and writes the messages by their descriptors, so that a field has one name in a message, in
// the JSON that praefectctl prints, and in Go.
package adminpb
